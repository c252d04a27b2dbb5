import { anonymousShare, isAnonymousId } from '../../caller.js'
import type { TaskBounds } from '../tasks/records.js'
import type { Kept } from './budget.js'

/** What a store has of all, and of callers who have not logged in, which is among it. */
export interface KeptOfAll {
  readonly all: Kept
  readonly anonymous: Kept
}

/** Whether a store has room for more tasks, or for more bytes of them, of a holder. */
export function fitsInAll (
  { max, maxBytes }: Pick<TaskBounds, 'max' | 'maxBytes'>,
  kept: KeptOfAll,
  holder: string,
  more: Kept
): boolean {
  const fits = ({ entries, bytes }: Kept, share: (inAll: number) => number) =>
    entries + more.entries <= share(max) && bytes + more.bytes <= share(maxBytes)
  return fits(kept.all, all => all) && (!isAnonymousId(holder) || fits(kept.anonymous, anonymousShare))
}
