import {
  MissingRequiredClientCapabilityError,
  type ClientCapabilities,
  type InputRequest,
  type InputRequests
} from '@modelcontextprotocol/server'

/**
 * Checks that the client can do what it is asked for (MCP 2026-07-28, Multi Round-Trip Requests). The SDK checks it
 * too, but after the call was left to wait.
 * @throws {MissingRequiredClientCapabilityError}
 */
export function checkInputCapabilities (asked: InputRequests, declared: ClientCapabilities): void {
  for (const [key, request] of Object.entries(asked)) {
    const missing = missingFor(request, declared)
    if (missing !== undefined) {
      throw new MissingRequiredClientCapabilityError(
        { requiredCapabilities: missing },
        `The client cannot do what '${key}' (${request.method}) asks for.`
      )
    }
  }
}

function missingFor (request: InputRequest, declared: ClientCapabilities): ClientCapabilities | undefined {
  const { sampling, roots } = declared
  switch (request.method) {
    case 'elicitation/create':
      return missingForElicitation(request.params.mode, declared)
    case 'sampling/createMessage':
      if ('tools' in request.params || 'toolChoice' in request.params) {
        return sampling?.tools === undefined
          ? { sampling: { tools: {} } }
          : undefined
      }
      return sampling === undefined ? { sampling: {} } : undefined
    case 'roots/list':
      return roots === undefined ? { roots: {} } : undefined
  }
}

function missingForElicitation (
  mode: string | undefined,
  { elicitation }: ClientCapabilities
): ClientCapabilities | undefined {
  if (mode === 'url') return elicitation?.url === undefined ? { elicitation: { url: {} } } : undefined
  // without a mode, it is a form
  return elicitation === undefined || (elicitation.form === undefined && elicitation.url !== undefined)
    ? { elicitation: { form: {} } }
    : undefined
}
