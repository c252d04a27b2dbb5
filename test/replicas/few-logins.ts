/** Environment of replicas at which a few logins make the calls of many: bounds of one person are not what is tried. */
export const FEW_LOGINS = {
  RATE_LIMIT_TOOL_CALLS_PER_MINUTE: '0',
  REQUESTS_IN_FLIGHT_PER_PERSON: '1000',
  INSTANCES_PER_PERSON: '1000',
  STREAMS_PER_PERSON: '1000',
  OPEN_RESPONSES_PER_PERSON: '4000'
}
