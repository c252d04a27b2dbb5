import { makeGate, type Gate } from './transport/gate.js'

/** Time for which one turn of the event loop may send, in milliseconds. */
const TURN_MS = 10

let turn = 0
let isCounted = false
let began: number | undefined
let isLettingGo = false
/** Those that are let go in the turns to come, one after the other. */
const turns: Gate[] = []

/** The number of this turn of the event loop: in the next one, it is another. */
export function thisTurn (): number {
  if (!isCounted) {
    isCounted = true
    setImmediate(count)
  }
  return turn
}

/**
 * Lets others have their turn: a server that awaits what it sends, and whose client is fast, would otherwise run in
 * microtasks for ever. Of what is sent in one go, so much is let go in each turn as took a turn's time to send.
 * @returns what resolves in a later turn of the event loop; undefined if this one may continue
 */
export function nextTurn (): Promise<void> | undefined {
  const now = performance.now()
  if (began === undefined) {
    began = now
    setImmediate(begin)
    return undefined
  }
  const index = Math.floor((now - began) / TURN_MS)
  if (index === 0) return undefined
  const last = turns.at(-1)
  if (last !== undefined && turns.length >= index) return last.promise
  const gate = makeGate()
  turns.push(gate)
  return gate.promise
}

function count (): void {
  turn++
  isCounted = false
}

function begin (): void {
  began = undefined
  if (!isLettingGo) letGo()
}

function letGo (): void {
  turns.shift()?.open()
  isLettingGo = turns.length > 0
  if (isLettingGo) setImmediate(letGo)
}
