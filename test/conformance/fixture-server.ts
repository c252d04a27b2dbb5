import { setTimeout as delay } from 'node:timers/promises'
import { completable } from '@modelcontextprotocol/sdk/server/completable.js'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import {
  RequestIdSchema, SubscribeRequestSchema, UnsubscribeRequestSchema,
  type CallToolResult, type ElicitResult
} from '@modelcontextprotocol/sdk/types.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import * as z from 'zod'
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
 * The server that the conformance suite expects to meet: its scenarios call these tools, resources and prompts by name
 * and look at what comes back. This one is written with SDK 1.x, `fixture-server-2.ts` with SDK 2.x.
 */
const jsonSchemaValidator = new AjvJsonSchemaValidator()

const samplingInput = z.object({ prompt: z.string().describe('The prompt to send to the model') })
const elicitationInput = z.object({ message: z.string().describe('The message to show to the user') })
const promptArguments = {
  arg1: completable(
    z.string().describe('First test argument'),
    value => ['paris', 'park', 'party'].filter(word => word.startsWith(value))
  ),
  arg2: z.string().describe('Second test argument')
}
const embeddedResourceArguments = { resourceUri: z.string().describe('URI of the resource to embed') }

/** SEP-1613 and SEP-2106: the members of `meta` are listed as they stand here; the SDK alone would list draft 7. */
const contactInput = z.strictObject({
  name: z.string().optional(),
  address: z.object({ street: z.string().optional(), city: z.string().optional() }).optional(),
  contactMethod: z.enum(['phone', 'email']).optional(),
  phone: z.string().optional(),
  email: z.string().optional()
}).refine(
  ({ contactMethod, phone, email }) => (contactMethod === 'phone' ? phone : email) !== undefined,
  'The contact is missing.'
).meta({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
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
  else: { required: ['email'] }
})

const greeting = ({ action, content }: ElicitResult): CallToolResult =>
  text(action === 'accept' ? `Hello, ${String(content?.name)}!` : 'Nobody told a name.')
const elicited = ({ action, content = {} }: ElicitResult): CallToolResult =>
  text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`)

export const createServer = (): McpServer => {
  const server = new McpServer({ name: 'conformance-fixture', version: '1.0.0' }, {
    jsonSchemaValidator,
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
}

/** Tools that ask the client for something while they run. */
function addClientTools (server: McpServer): void {
  server.registerTool('test_sampling', { description: "Asks the client's model.", inputSchema: samplingInput },
    async ({ prompt }, { requestId }) => {
      const { content } = await server.server.createMessage(
        { messages: [{ role: 'user', content: textContent(prompt) }], maxTokens: 100 }, { relatedRequestId: requestId })
      return text(`LLM response: ${content.type === 'text' ? content.text : JSON.stringify(content)}`)
    })

  server.registerTool('test_elicitation', { description: 'Asks the user.', inputSchema: elicitationInput },
    async ({ message }, { requestId }) => {
      const { action, content = {} } = await server.server.elicitInput({ message, requestedSchema: userSchema }, {
        relatedRequestId: requestId
      })
      return text(`User response: action=${action}, content=${JSON.stringify(content)}`)
    })

  server.registerTool(
    'test_elicitation_sep1034_defaults',
    { description: 'Asks the user, with defaults.' },
    async ({ requestId }) =>
      elicited(
        await server.server.elicitInput(
          { message: 'Please review and update the form fields with defaults', requestedSchema: defaultsSchema },
          { relatedRequestId: requestId }
        )
      )
  )

  server.registerTool(
    'test_elicitation_sep1330_enums',
    { description: 'Asks the user to choose.' },
    async ({ requestId }) =>
      elicited(
        await server.server.elicitInput(
          { message: 'Please select options from the enum fields', requestedSchema: enumsSchema },
          { relatedRequestId: requestId }
        )
      )
  )
}

/** SEP-2322: to clients of 2026-07-28, the answer to these is `input_required` first. */
function addInputTools (server: McpServer): void {
  const ask = server.server

  server.registerTool('test_input_required_result_elicitation', { description: 'Asks for a name.' },
    async ({ requestId: relatedRequestId }) => greeting(await ask.elicitInput(nameQuestion, { relatedRequestId })))

  server.registerTool('test_input_required_result_sampling', { description: "Asks the client's model for a capital." },
    async ({ requestId: relatedRequestId }) => {
      const { content } = await ask.createMessage(modelQuestion('What is the capital of France?', 100), {
        relatedRequestId
      })
      return text(content.type === 'text' ? content.text : 'no text')
    })

  server.registerTool('test_input_required_result_list_roots', { description: "Asks for the client's roots." },
    async ({ requestId: relatedRequestId }) => {
      const { roots } = await ask.listRoots(undefined, { relatedRequestId })
      return text(roots.map(({ uri }) => uri).join(', '))
    })

  // the state of these is what the bridge makes of the call that waits
  for (const name of ['request_state', 'tampered_state']) {
    server.registerTool(`test_input_required_result_${name}`, { description: 'Asks to confirm.' },
      async ({ requestId: relatedRequestId }) => {
        const { content } = await ask.elicitInput(confirmation, { relatedRequestId })
        return text(`state-ok: ${JSON.stringify(content)}`)
      })
  }

  server.registerTool('test_input_required_result_multiple_inputs', { description: 'Asks for three things at once.' },
    async ({ requestId: relatedRequestId }) => {
      const [name, hello, { roots }] = await Promise.all([
        ask.elicitInput(nameQuestion, { relatedRequestId }),
        ask.createMessage(modelQuestion('Generate a greeting', 50), { relatedRequestId }),
        ask.listRoots(undefined, { relatedRequestId })
      ])
      return text(JSON.stringify({ name: name.content, greeting: hello.content, roots }))
    })

  server.registerTool('test_input_required_result_multi_round', { description: 'Asks for one thing after another.' },
    async ({ requestId: relatedRequestId }) => {
      const name = await ask.elicitInput({ ...nameQuestion, message: 'Step 1: What is your name?' }, {
        relatedRequestId
      })
      const colour = await ask.elicitInput(colourQuestion, { relatedRequestId })
      return text(JSON.stringify({ ...name.content, ...colour.content }))
    })

  server.registerTool('test_input_required_result_capabilities', { description: 'Asks for what the client can do.' },
    async ({ requestId: relatedRequestId }) => {
      const { elicitation, sampling } = ask.getClientCapabilities() ?? {}
      return text(JSON.stringify(
        await Promise.all([
          ...elicitation !== undefined ? [ask.elicitInput(nameQuestion, { relatedRequestId })] : [],
          ...sampling !== undefined
            ? [ask.createMessage(modelQuestion('Generate a greeting', 50), { relatedRequestId })]
            : []
        ])
      ))
    }
  )

  server.registerTool('test_missing_capability', { description: "Needs the client's model." },
    async ({ requestId: relatedRequestId }) => {
      const { content } = await ask.createMessage(modelQuestion('Hello', 10), { relatedRequestId })
      return text(JSON.stringify(content))
    })

  server.registerTool('test_streaming_elicitation', { description: 'Streams, then asks.' },
    async ({ requestId: relatedRequestId, sendNotification }) => {
      await sendNotification({ method: 'notifications/message', params: { level: 'info', data: 'about to ask' } })
      return greeting(await ask.elicitInput(nameQuestion, { relatedRequestId }))
    })

  server.registerPrompt('test_input_required_result_prompt', { description: 'A prompt that asks for its context.' },
    async ({ requestId }) => {
      // to the types of the SDK this is an argument of the prompt
      const { content } = await ask.elicitInput(contextQuestion, { relatedRequestId: RequestIdSchema.parse(requestId) })
      return { messages: [{ role: 'user', content: textContent(`Use this context: ${String(content?.context)}`) }] }
    })
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

/** Tools whose answers are streams. */
function addStreamTools (server: McpServer): void {
  for (const name of ['test_tool_with_logging', 'test_logging_tool']) {
    server.registerTool(name, { description: 'Logs while it runs.' }, async ({ sendNotification }) => {
      const log = async (data: string) => {
        await sendNotification({ method: 'notifications/message', params: { level: 'info', data } })
      }
      await log('Tool execution started')
      await delay(STEP_MS)
      await log('Tool processing data')
      await delay(STEP_MS)
      await log('Tool execution completed')
      return text('The tool has logged.')
    })
  }

  server.registerTool('test_tool_with_progress', { description: 'Reports progress.' },
    async ({ sendNotification, _meta }) => {
      for (const progress of [0, 50, 100]) {
        if (progress > 0) await delay(STEP_MS)
        if (_meta?.progressToken === undefined) continue
        await sendNotification({
          method: 'notifications/progress',
          params: { progressToken: _meta.progressToken, progress, total: 100 }
        })
      }
      return text('The tool has made progress.')
    })

  server.registerTool('test_reconnection', { description: 'Lets go of the connection before it answers (SEP-1699).' },
    async ({ closeSSEStream }) => {
      closeSSEStream?.()
      await delay(2 * STEP_MS)
      return text('Reconnection test completed successfully.')
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
  server.server.setRequestHandler(SubscribeRequestSchema, () => ({}))
  server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
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
