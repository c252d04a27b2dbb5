/** A request that is over: its route by pattern, never by what was filled in. */
export interface EndedRequest {
  method: string
  /** undefined if no route matched. */
  route: string | undefined
  statusCode: number
  seconds: number
}
