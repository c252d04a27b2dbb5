import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  completable,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate,
  type CallToolResult,
  type ElicitRequestFormParams,
  type InputRequiredResult,
  type ServerContext
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'
import { getMember } from '../../src/members.js'
import {
  colourQuestion,
  confirmation,
  contextQuestion,
  defaultsSchema,
  enumsSchema,
  modelQuestion,
  nameQuestion,
  RED_PIXEL_PNG,
  redPixel,
  SILENT_WAV,
  STEP_MS,
  text,
  textContent,
  userSchema
} from './fixture-content.js'

/*
 * What `fixture-server.ts` is with SDK 1.x, with SDK 2.x. Tools that ask the client are written once, with
 * `inputRequired`: the SDK asks clients of the older revisions itself.
 */
const jsonSchemaValidator = new AjvJsonSchemaValidator()

/** What a tool of several rounds has to know when the client comes back. */
interface State {
  name?: string
}

const requestStates = createRequestStateCodec<State>({
  key: process.env.FIXTURE_STATE_KEY ?? randomBytes(32),
  bind: ({ http }) => String(http?.authInfo?.clientId)
})

const samplingInput = z.object({ prompt: z.string().describe('The prompt to send to the model') })
const elicitationInput = z.object({ message: z.string().describe('The message to show to the user') })
const headerInput = z.object({
  region: z.string().describe('Sent as a header too, to be routed by').meta({ 'x-mcp-header': 'Region' }),
  query: z.string().optional().describe('Sent in the body alone')
})
const promptArguments = z.object({
  arg1: completable(
    z.string().describe('First test argument'),
    value => ['paris', 'park', 'party'].filter(word => word.startsWith(value))
  ),
  arg2: z.string().describe('Second test argument')
})
const embeddedResourceArguments = z.object({ resourceUri: z.string().describe('URI of the resource to embed') })
const named = z.object({ name: z.string() })
const coloured = z.object({ color: z.string() })
const confirmed = z.object({ ok: z.boolean() })
const contextual = z.object({ context: z.string() })

/** SEP-1613 and SEP-2106. */
const contactInput = fromJsonSchema({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } }
    }
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' }
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false
}, jsonSchemaValidator)

type Answer = CallToolResult | InputRequiredResult

/** Asks one thing of the user. */
const elicit = (key: string, question: ElicitRequestFormParams, requestState?: string): InputRequiredResult =>
  inputRequired({
    inputRequests: { [key]: inputRequired.elicit(question) },
    ...requestState !== undefined && { requestState }
  })

export const createServer = (): McpServer => {
  const server = new McpServer({ name: 'conformance-fixture', version: '2.0.0' }, {
    jsonSchemaValidator,
    requestState: { verify: requestStates.verify },
    capabilities: { logging: {}, resources: { subscribe: true, listChanged: true } }
  })
  addContentTools(server)
  addClientTools(server)
  addStreamTools(server)
  addInputTools(server)
  addChangeTools(server)
  addResources(server)
  addPrompts(server)
  return server
}

/** Tools that answer at once. */
function addContentTools (server: McpServer): void {
  server.registerTool('test_simple_text', { description: 'Returns text.' },
    () => text('This is a simple text response for testing.'))

  server.registerTool('test_image_content', { description: 'Returns an image.' }, () => ({ content: [redPixel] }))

  server.registerTool('test_audio_content', { description: 'Returns audio.' },
    () => ({ content: [{ type: 'audio', data: SILENT_WAV, mimeType: 'audio/wav' }] }))

  server.registerTool('test_embedded_resource', { description: 'Returns an embedded resource.' }, () => ({
    content: [{
      type: 'resource',
      resource: {
        uri: 'test://embedded-resource',
        mimeType: 'text/plain',
        text: 'This is an embedded resource content.'
      }
    }]
  }))

  server.registerTool('test_multiple_content_types', { description: 'Returns text, an image and a resource.' }, () => ({
    content: [
      textContent('Multiple content types test:'),
      redPixel,
      {
        type: 'resource',
        resource: {
          uri: 'test://mixed-content-resource',
          mimeType: 'application/json',
          text: JSON.stringify({ test: 'data', value: 123 })
        }
      }
    ]
  }))

  server.registerTool('test_error_handling', { description: 'Always fails.' },
    () => { throw new Error('This tool intentionally returns an error for testing') })

  server.registerTool('json_schema_2020_12_tool', {
    description: 'Tool with JSON Schema 2020-12 features',
    inputSchema: contactInput
  }, contact => text(JSON.stringify(contact)))

  server.registerTool('test_header_parameter', {
    description: 'Takes a parameter that is a header too (SEP-2243).',
    inputSchema: headerInput
  }, ({ region }) => text(`region=${region}`))
}

/** Tools that the scenarios of 2025-11-25 call. */
function addClientTools (server: McpServer): void {
  server.registerTool('test_sampling', { description: "Asks the client's model.", inputSchema: samplingInput },
    ({ prompt }, { mcpReq: { inputResponses } }) => {
      const answer = inputResponse(inputResponses, 'sample')
      if (answer.kind !== 'sampling') {
        return inputRequired({
          inputRequests: { sample: inputRequired.createMessage(modelQuestion(prompt, 100)) }
        })
      }
      const { content } = answer.result
      return text(
        `LLM response: ${!Array.isArray(content) && content.type === 'text' ? content.text : JSON.stringify(content)}`
      )
    }
  )

  server.registerTool('test_elicitation', { description: 'Asks the user.', inputSchema: elicitationInput },
    ({ message }, context) => elicited(context, 'User response', { message, requestedSchema: userSchema }))

  server.registerTool(
    'test_elicitation_sep1034_defaults',
    { description: 'Asks the user, with defaults.' },
    context =>
      elicited(context, 'Elicitation completed', {
        message: 'Please review and update the form fields with defaults',
        requestedSchema: defaultsSchema
      })
  )

  server.registerTool(
    'test_elicitation_sep1330_enums',
    { description: 'Asks the user to choose.' },
    context =>
      elicited(context, 'Elicitation completed', {
        message: 'Please select options from the enum fields',
        requestedSchema: enumsSchema
      })
  )
}

function elicited (
  { mcpReq: { inputResponses } }: ServerContext,
  what: string,
  question: ElicitRequestFormParams
): Answer {
  const answer = inputResponse(inputResponses, 'answer')
  return answer.kind === 'elicit'
    ? text(`${what}: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`)
    : elicit('answer', question)
}

/** Tools whose answers are streams. */
function addStreamTools (server: McpServer): void {
  for (const name of ['test_tool_with_logging', 'test_logging_tool']) {
    server.registerTool(name, { description: 'Logs while it runs.' }, async ({ mcpReq }) => {
      await mcpReq.log('info', 'Tool execution started')
      await delay(STEP_MS)
      await mcpReq.log('info', 'Tool processing data')
      await delay(STEP_MS)
      await mcpReq.log('info', 'Tool execution completed')
      return text('The tool has logged.')
    })
  }

  server.registerTool('test_tool_with_progress', { description: 'Reports progress.' },
    async ({ mcpReq: { notify, _meta } }) => {
      for (const progress of [0, 50, 100]) {
        if (progress > 0) await delay(STEP_MS)
        if (_meta?.progressToken === undefined) continue
        await notify({
          method: 'notifications/progress',
          params: { progressToken: _meta.progressToken, progress, total: 100 }
        })
      }
      return text('The tool has made progress.')
    })

  server.registerTool('test_reconnection', { description: 'Lets go of the connection before it answers (SEP-1699).' },
    async ({ http }) => {
      http?.closeSSE?.()
      await delay(2 * STEP_MS)
      return text('Reconnection test completed successfully.')
    })
}

/** SEP-2322: the answer to these is `input_required` first. */
function addInputTools (server: McpServer): void {
  server.registerTool('test_input_required_result_elicitation', { description: 'Asks for a name.' },
    ({ mcpReq: { inputResponses } }) => askedName(inputResponses))

  server.registerTool('test_input_required_result_sampling', { description: "Asks the client's model for a capital." },
    ({ mcpReq: { inputResponses } }) => {
      const answer = inputResponse(inputResponses, 'capital_question')
      if (answer.kind === 'sampling') return text(JSON.stringify(answer.result.content))
      return inputRequired({
        inputRequests: {
          capital_question: inputRequired.createMessage(modelQuestion('What is the capital of France?', 100))
        }
      })
    }
  )

  server.registerTool('test_input_required_result_list_roots', { description: "Asks for the client's roots." },
    ({ mcpReq: { inputResponses } }) => {
      const answer = inputResponse(inputResponses, 'client_roots')
      if (answer.kind === 'roots') return text(answer.roots.map(({ uri }) => uri).join(', '))
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
    })

  for (const name of ['request_state', 'tampered_state']) {
    server.registerTool(`test_input_required_result_${name}`, { description: 'Asks to confirm.' }, async context => {
      const { mcpReq: { inputResponses, requestState } } = context
      const answer = acceptedContent(inputResponses, 'confirm', confirmed)
      if (answer !== undefined && requestState<State>() !== undefined) {
        return text(`state-ok: ${JSON.stringify(answer)}`)
      }
      return elicit('confirm', confirmation, await requestStates.mint({}, context))
    })
  }

  server.registerTool(
    'test_input_required_result_multiple_inputs',
    { description: 'Asks for three things at once.' },
    async context => {
      const { mcpReq: { inputResponses } } = context
      const name = acceptedContent(inputResponses, 'user_name', named)
      const greeting = inputResponse(inputResponses, 'greeting')
      const roots = inputResponse(inputResponses, 'client_roots')
      if (name !== undefined && greeting.kind === 'sampling' && roots.kind === 'roots') {
        return text(JSON.stringify({ ...name, greeting: greeting.result.content, roots: roots.roots }))
      }
      return inputRequired({
        inputRequests: {
          user_name: inputRequired.elicit(nameQuestion),
          greeting: inputRequired.createMessage(modelQuestion('Generate a greeting', 50)),
          client_roots: inputRequired.listRoots()
        },
        requestState: await requestStates.mint({}, context)
      })
    }
  )

  server.registerTool(
    'test_input_required_result_multi_round',
    { description: 'Asks for one thing after another.' },
    async context => {
      const { mcpReq: { inputResponses, requestState } } = context
      const known = requestState<State>()?.name
      const answer = acceptedContent(inputResponses, 'step1', named)
      const colour = acceptedContent(inputResponses, 'step2', coloured)
      if (known !== undefined && colour !== undefined) return text(JSON.stringify({ name: known, ...colour }))
      const name = known ?? answer?.name
      if (name !== undefined) return elicit('step2', colourQuestion, await requestStates.mint({ name }, context))
      return elicit(
        'step1',
        { ...nameQuestion, message: 'Step 1: What is your name?' },
        await requestStates.mint({}, context)
      )
    }
  )

  server.registerTool('test_input_required_result_capabilities', { description: 'Asks for what the client can do.' },
    ({ mcpReq: { inputResponses, envelope } }) => {
      if (inputResponses !== undefined) return text(JSON.stringify(inputResponses))
      // over stdio, the SDK does not tell the server what single requests say
      const declared = getMember(envelope, CLIENT_CAPABILITIES_META_KEY) ?? server.server.getClientCapabilities()
      const [elicitation, sampling] = ['elicitation', 'sampling'].map(name => getMember(declared, name))
      return inputRequired({
        inputRequests: {
          ...elicitation !== undefined && { user_name: inputRequired.elicit(nameQuestion) },
          ...sampling !== undefined &&
            { greeting: inputRequired.createMessage(modelQuestion('Generate a greeting', 50)) }
        }
      })
    })

  server.registerTool('test_missing_capability', { description: "Needs the client's model." },
    () => inputRequired({ inputRequests: { sample: inputRequired.createMessage(modelQuestion('Hello', 10)) } }))

  server.registerTool('test_streaming_elicitation', { description: 'Streams, then asks.' }, async ({ mcpReq }) => {
    await mcpReq.log('info', 'about to ask')
    return askedName(mcpReq.inputResponses)
  })

  server.registerPrompt('test_input_required_result_prompt', { description: 'A prompt that asks for its context.' },
    ({ mcpReq: { inputResponses } }) => {
      const answer = acceptedContent(inputResponses, 'user_context', contextual)
      if (answer === undefined) return elicit('user_context', contextQuestion)
      return { messages: [{ role: 'user', content: textContent(`Use this context: ${answer.context}`) }] }
    })
}

function askedName (inputResponses: Record<string, unknown> | undefined): Answer {
  const answer = acceptedContent(inputResponses, 'user_name', named)
  return answer === undefined ? elicit('user_name', nameQuestion) : text(`Hello, ${answer.name}!`)
}

/** Tools that change what the server has. */
function addChangeTools (server: McpServer): void {
  server.registerTool('test_trigger_tool_change', { description: 'Announces other tools.' }, () => {
    server.sendToolListChanged()
    return text('The tools have changed.')
  })

  server.registerTool('test_trigger_prompt_change', { description: 'Announces other prompts.' }, () => {
    server.sendPromptListChanged()
    return text('The prompts have changed.')
  })
}

function addResources (server: McpServer): void {
  server.registerResource(
    'static-text',
    'test://static-text',
    { description: 'A static text resource.', mimeType: 'text/plain' },
    ({ href: uri }) => ({
      contents: [{ uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }]
    })
  )

  server.registerResource('static-binary', 'test://static-binary', {
    description: 'A static image.',
    mimeType: 'image/png'
  }, ({ href: uri }) => ({ contents: [{ uri, mimeType: 'image/png', blob: RED_PIXEL_PNG }] }))

  server.registerResource('watched-resource', 'test://watched-resource', {
    description: 'A resource to subscribe to.',
    mimeType: 'text/plain'
  }, ({ href: uri }) => ({ contents: [{ uri, mimeType: 'text/plain', text: 'Watched resource content.' }] }))

  server.registerResource('template', new ResourceTemplate('test://template/{id}/data', { list: undefined }), {
    description: 'Data for an id.',
    mimeType: 'application/json'
  }, ({ href: uri }, { id }) => ({
    contents: [{
      uri,
      mimeType: 'application/json',
      text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` })
    }]
  }))

  // nothing changes here, so there is nothing to keep
  server.server.setRequestHandler('resources/subscribe', () => ({}))
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
}

function addPrompts (server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'A prompt without arguments.' },
    () => ({ messages: [{ role: 'user', content: textContent('This is a simple prompt for testing.') }] }))

  server.registerPrompt(
    'test_prompt_with_arguments',
    { description: 'A prompt with arguments.', argsSchema: promptArguments },
    ({ arg1, arg2 }) => ({
      messages: [{ role: 'user', content: textContent(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`) }]
    })
  )

  server.registerPrompt('test_prompt_with_embedded_resource', {
    description: 'A prompt with a resource in it.',
    argsSchema: embeddedResourceArguments
  }, ({ resourceUri: uri }) => ({
    messages: [
      {
        role: 'user',
        content: {
          type: 'resource',
          resource: { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' }
        }
      },
      { role: 'user', content: textContent('Please process the embedded resource above.') }
    ]
  }))

  server.registerPrompt(
    'test_prompt_with_image',
    { description: 'A prompt with an image in it.' },
    () => ({
      messages: [{ role: 'user', content: redPixel }, {
        role: 'user',
        content: textContent('Please analyze the image above.')
      }]
    })
  )
}
