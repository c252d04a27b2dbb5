// the store ends an owner's least recently seen session: it should know which that is
const MAX_UNTOLD_SECONDS = 60
// sessions that were opened together do not all write to it together
const LEAST_UNTOLD = 0.5

/** For how long the store is not told of a session's signs of life. */
export function findUntoldSeconds (idleSeconds: number): number {
  return Math.min(idleSeconds / 10, MAX_UNTOLD_SECONDS) * (LEAST_UNTOLD + Math.random() * (1 - LEAST_UNTOLD))
}
