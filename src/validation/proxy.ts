import type { ProxyOptions } from '../outbound/proxy.js'
import { listSchema, objectSchema, optional, optionSchemas, someText, textThat } from './schemas.js'
import { isProxyUrl, PROXY_URL } from './values.js'

/** The proxy to the internet. */
export const proxyOption = objectSchema(
  optionSchemas<ProxyOptions>()({
    url: textThat({ takes: PROXY_URL, secret: true }, isProxyUrl),
    except: optional(listSchema(someText, 'a list of hosts'))
  }),
  'an object with url'
)
