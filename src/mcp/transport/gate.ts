/** What some wait at until it is opened, once. */
export interface Gate {
  readonly promise: Promise<void>
  open (): void
}

export function makeGate (): Gate {
  let open = () => {}
  const promise = new Promise<void>(resolve => { open = resolve })
  return { promise, open }
}
