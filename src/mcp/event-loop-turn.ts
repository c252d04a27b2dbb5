/** Time for which one turn of the event loop may send, in milliseconds. */
const TURN_MS = 10

let began: number | undefined
let ended: Promise<void> | undefined

/**
 * Lets others have their turn: a server that awaits what it sends, and whose client is fast, would otherwise run in
 * microtasks for ever.
 * @returns what resolves in the next turn of the event loop; undefined if this one may continue
 */
export function nextTurn (): Promise<void> | undefined {
  const now = performance.now()
  if (began === undefined) {
    began = now
    setImmediate(begin)
    return undefined
  }
  if (now - began < TURN_MS) return undefined
  ended ??= new Promise(resolve => { setImmediate(resolve) })
  return ended
}

function begin (): void {
  began = undefined
  ended = undefined
}
