import { Type } from '@sinclair/typebox'
import { MCP_BODY_BYTES } from '../../plugins/scoped/body-limits.js'
import { MAX_TIMER_MS, MAX_TIMER_SECONDS } from '../../validation/values.js'
import { flag, limit, seconds, text } from './kinds.js'

// what runs longer is dropped
const MAX_SHUTDOWN_SECONDS = 86_400

/** Metrics, traces, overload, and how the process ends. */
export const operationVariables = {
  METRICS_TOKEN: Type.Optional(text(
    'Bearer token, of at least 16 characters, that GET /metrics requires. Default: none is required if PUBLIC_URL is ' +
      'on loopback outside production; otherwise there is no /metrics'
  )),
  TRACING: flag(
    'Whether requests and calls are traced by OpenTelemetry; its SDK is loaded by NODE_OPTIONS=--import',
    false
  ),
  MAX_EVENT_LOOP_DELAY_MS: limit(
    'Mean delay of the event loop over a second, in milliseconds, beyond which requests are refused; 0: no limit',
    1000,
    { minimum: 0, maximum: MAX_TIMER_MS }
  ),
  MAX_HEAP_BYTES: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description:
      'Bytes of the JavaScript heap beyond which requests are refused. Default: nine tenths of what Node.js may use'
  })),
  MAX_BODY_BYTES: limit('Largest request body, in bytes', MCP_BODY_BYTES),
  REQUEST_TIMEOUT_SECONDS: seconds(
    'Time in which the headers and the body of a request must have arrived; beyond, the response is 408 and the ' +
      'connection closes. A response may take as long as it needs',
    30,
    { maximum: MAX_TIMER_SECONDS }
  ),
  KEEP_ALIVE_TIMEOUT_SECONDS: seconds(
    'Time without use after which a connection closes; longer than the load balancer keeps its own (Google Cloud: 600)',
    72,
    { maximum: MAX_TIMER_SECONDS }
  ),
  MAX_HEADER_BYTES: limit(
    'Largest headers of a request in all, in bytes; beyond, the response is 431. Access tokens of 16 KB fit',
    32_768,
    { minimum: 8192, maximum: 1_048_576 }
  ),
  SHUTDOWN_DELAY_SECONDS: Type.Optional(Type.Integer({
    minimum: 0,
    maximum: MAX_SHUTDOWN_SECONDS,
    description: 'Time after SIGTERM in which /readyz fails and everything is served as before, ' +
      'so that load balancers turn to other replicas, in seconds. Default: 5 in production, otherwise 0'
  })),
  SHUTDOWN_SECONDS: seconds('Time that running requests then get to finish', 10, {
    maximum: MAX_SHUTDOWN_SECONDS
  })
}
