import { MAX_QUEUED_BYTES } from '../../audit/auditor.js'
import { flag, limit, list, text } from './kinds.js'

/** The record of who did what. */
export const auditVariables = {
  AUDIT_LOG: text(
    'Target of the record of logins, refusals, grants and calls: stdout, file:PATH (%h in it becomes the name of ' +
      'the host; each process needs a file of its own), or off',
    { default: 'off' }
  ),
  AUDIT_REQUIRED: flag(
    'Whether calls, logins and tokens are refused while that record cannot be written; otherwise, what cannot be ' +
      'written is lost and counted',
    false
  ),
  AUDIT_FSYNC: flag('Whether each event of that file is on the disk before it counts as written', false),
  AUDIT_FILE_MAX_BYTES: limit(
    'Size of that file at which it is set aside and another begins, in bytes; a new day (UTC) does the same',
    100 * 1024 * 1024
  ),
  AUDIT_QUEUE_BYTES: limit('Bytes of events that may wait to be written', MAX_QUEUED_BYTES),
  AUDIT_ARGUMENTS: list(
    'Arguments of tools and prompts that are recorded, as tool.argument, or tool.argument:hash for a keyed hash; no ' +
      'others are'
  )
}
