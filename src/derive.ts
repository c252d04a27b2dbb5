/** An object that is like `base`, but for `members`. */
export const derive: <T extends object>(base: T, members: PropertyDescriptorMap) => T = Object.create
