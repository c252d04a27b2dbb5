import { pageErrors } from './errors.js'
import { emptyResponse } from './responses.js'

/** What the pages for signed-in people may respond. */
export const connectionsResponses = {
  302: emptyResponse('To the next page, with a cookie.'),
  303: emptyResponse('To the next page, with a cookie.'),
  ...pageErrors
}
