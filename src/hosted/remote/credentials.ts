import { isAnonymous, personKey } from '../../caller.js'
import type { ServerContext } from '../../mcp/create-server.js'
import type { FindToken } from './wire/http.js'
import type { RemoteServerOptions } from './options.js'
import { RemoteError } from './wire/remote-error.js'
import { TokenExchange } from './token-exchange.js'

/** Whom a connection serves now. */
export type FindContext = () => ServerContext

/**
 * Decides which token goes to the remote server for a person. It is never the one that this service was called with:
 * that was issued for this service (MCP 2025-11-25, Security Best Practices, Token Passthrough).
 */
export class Credentials {
  readonly #auth: RemoteServerOptions['auth']
  readonly #exchange: TokenExchange | undefined

  constructor (options: Pick<RemoteServerOptions, 'auth' | 'proxy' | 'fetch'>) {
    const { auth } = options
    this.#auth = auth
    this.#exchange = typeof auth === 'object' ? new TokenExchange(auth.tokenExchange, options) : undefined
  }

  /** The token for the one whom a connection serves, at each of its requests. */
  for (context: FindContext): FindToken {
    if (this.#auth === undefined) return async () => undefined
    return async rejected => {
      const { authInfo } = context()
      const upstreamToken = async () => await findUpstreamToken(context())
      return this.#exchange === undefined
        ? await upstreamToken()
        : await this.#exchange.find(personKey(authInfo.extra), upstreamToken, rejected)
    }
  }
}

async function findUpstreamToken (context: ServerContext): Promise<string> {
  if (isAnonymous(context.authInfo.extra)) throw new RemoteError('it needs a login, and nobody has logged in')
  let token
  try {
    token = await context.getUpstreamAccessToken()
  } catch (cause) {
    throw new RemoteError('the login that it needs has ended, or cannot be used now', { cause })
  }
  if (token === undefined) throw new RemoteError('this service holds no access token of the login server for it')
  return token
}
