import type { CallSignal } from './lazy-abort-signal.js'

/** Headers as Node.js has parsed them. */
export type InboundHeaders = Readonly<Record<string, string | string[] | undefined>>

const URL = 'http://localhost/mcp'
// shared by all requests, so nobody may write to them
const blankRequest = Object.freeze(new Request(URL, { method: 'POST' }))
const blankHeaders = Object.freeze(new Headers())

/*
 * What this is: a POST as a web `Request`, for the SDK and for tools that read `http.req`. The members that the SDK
 * reads come from what Node.js has parsed. A real `Request`, which costs as much as a call, is made only for the
 * others.
 * What it is not: a way to read the body; the SDK gets it parsed.
 * What breaks: nothing, if the SDK reads other members: requests then only become slower.
 * Delete it when `new Request` is cheap; its callers then make one.
 */

/** A POST as a web `Request`. */
export function inboundRequest (headers: InboundHeaders, signal: CallSignal): Request {
  let shown: Headers | undefined
  return lazy(
    blankRequest,
    () => new Request(URL, { method: 'POST', headers: webHeaders(headers), signal: signal.real }),
    {
      method: 'POST',
      get headers () {
        shown ??= lazy(blankHeaders, () => webHeaders(headers), {
          get: (name: string) => headers[name.toLowerCase()]?.toString() ?? null
        })
        return shown
      },
      get signal () {
        return signal.real
      }
    }
  )
}

/** An object of the kind of `blank`, made when a member is read that is not `known`. */
function lazy<T extends object> (blank: T, make: () => T, known: Partial<Record<keyof T, unknown>>): T {
  let made: T | undefined
  return new Proxy(blank, {
    get (_blank, name) {
      if (Object.hasOwn(known, name)) return Reflect.get(known, name)
      const whole = made ??= make()
      const value: unknown = Reflect.get(whole, name)
      const bound: unknown = typeof value === 'function' ? value.bind(whole) : value
      return bound
    }
  })
}

function webHeaders (headers: InboundHeaders): Headers {
  const web = new Headers()
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) web.set(name, value.toString())
  return web
}
