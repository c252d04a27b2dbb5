/** A request that is over: its route by pattern, never by what was filled in. */
export interface EndedRequest {
  method: string
  /** undefined where no route took it. */
  route: string | undefined
  statusCode: number
  seconds: number
}
