import { isLoopbackUrl } from '../loopback.js'
import { openAuthorize, saidBy } from './registration.js'
import type { Findings } from './findings.js'

/** A client that publishes its metadata, with a redirect URI of its own. */
const CLIENT = { clientId: 'https://vscode.dev/oauth/client-metadata.json', redirectUri: 'https://vscode.dev/redirect' }

/** Has the service read the metadata document of a client, as it must where clients name theirs. */
export async function examineClientDocuments (
  metadata: Record<string, unknown>,
  mcpUrl: URL,
  findings: Findings,
  client = CLIENT
): Promise<void> {
  const { authorization_endpoint: endpoint, client_id_metadata_document_supported: supported } = metadata
  if (typeof endpoint !== 'string' || !URL.canParse(endpoint)) return
  // what another authorization server does is its own matter
  if (new URL(endpoint).origin !== mcpUrl.origin) return
  if (supported !== true) {
    findings.ok('client-documents', 'clients register: the service reads no metadata documents of clients')
    return
  }
  const reply = await openAuthorize(new URL(endpoint), client, mcpUrl).catch(() => undefined)
  if (reply === undefined) return
  if (reply.status < 400) {
    findings.ok('client-documents', `the service reads metadata documents of clients, such as ${client.clientId}`)
    return
  }
  const says = `the service cannot read ${client.clientId} (${reply.status}): ${saidBy(reply.body)}`
  // on a laptop without network this is as it should be
  if (isLoopbackUrl(mcpUrl)) findings.ok('client-documents', `${says} ${FIX}`)
  else findings.warn('client-documents', says, FIX)
}

const FIX = 'Clients such as Codex, Claude and VS Code then cannot log in. Let the service reach the internet, by ' +
  'HTTPS_PROXY if need be, or set CLIENT_METADATA_DOCUMENTS=off, so that clients register instead.'
