import type { CallerInfo } from '../caller.js'
import type { CreateServer } from './create-server.js'
import { makeServer } from './sdk-servers.js'
import type { Log } from '../log.js'
import { InMemoryTransport } from './transport/in-memory-transport.js'
import { getMember, isObject } from '../members.js'
import { REVISION_2025_11_25 } from './wire/protocol-versions.js'

/** What a server says about itself. */
export interface ServerDescription {
  name: string
  /** Its `serverInfo` (`Implementation` of the specification), as it says it. */
  info: Readonly<Record<string, unknown>>
  /** Its tools, with their descriptions, and whether they say if they only read. */
  tools: Array<{ name: string, description: string | undefined, annotated: boolean }>
}

const MAX_PAGES = 20

/** Asks a server, made for `caller`, for its name and its tools. */
export async function describeServer (
  createServer: CreateServer,
  caller: CallerInfo,
  log: Log
): Promise<ServerDescription> {
  const server = await makeServer(createServer, {
    era: 'legacy',
    authInfo: caller,
    log,
    getUpstreamAccessToken: async () => undefined,
    announce () {}
  })
  const link = new InMemoryTransport({ onRequest () {}, onNotification: () => undefined })
  const extra = { authInfo: caller }
  try {
    await server.connect(link)
    const ask = async (method: string, params: Record<string, unknown>) => {
      const response = await link.request(method, params, extra)
      if ('error' in response) throw new Error(`${method} failed: ${response.error.message}`)
      return response.result
    }
    const { serverInfo, capabilities } = await ask('initialize', {
      protocolVersion: REVISION_2025_11_25,
      capabilities: {},
      clientInfo: { name: 'home page', version: '1.0.0' }
    })
    link.notify('notifications/initialized', undefined, extra)
    const tools: ServerDescription['tools'] = []
    let cursor: unknown
    for (
      let page = 0;
      page < MAX_PAGES && (page === 0 || cursor !== undefined) && getMember(capabilities, 'tools') !== undefined;
      page++
    ) {
      const listed = await ask('tools/list', cursor === undefined ? {} : { cursor })
      for (const tool of Array.isArray(listed.tools) ? listed.tools : []) {
        tools.push({
          name: String(getMember(tool, 'name')),
          description: String(getMember(tool, 'description') ?? ''),
          annotated: typeof getMember(getMember(tool, 'annotations'), 'readOnlyHint') === 'boolean'
        })
      }
      cursor = listed.nextCursor
    }
    const name = String(getMember(serverInfo, 'title') ?? getMember(serverInfo, 'name'))
    return { name, info: isObject(serverInfo) ? serverInfo : {}, tools }
  } finally {
    await server.close()
    await link.close()
  }
}
