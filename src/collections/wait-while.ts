import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 20

/** Waits as long as something is so, but no longer than `ms`. */
export async function waitWhile (isSo: () => boolean, ms: number): Promise<void> {
  const deadline = performance.now() + ms
  while (isSo() && performance.now() < deadline) await delay(POLL_MS)
}
