import { once, type EventEmitter } from 'node:events'

/** What an emitter tells with its next event of a name: anything. */
export const emitted: (emitter: EventEmitter, name: string) => Promise<unknown[]> = once
