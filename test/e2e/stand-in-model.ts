import { createServer, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { json } from 'node:stream/consumers'
import { isObject } from '../../src/members.js'

/*
 * Stands in for a language model: it calls the tool `add` with 2 and 3, then repeats what the tool said. It speaks
 * OpenAI's Responses API and Chat Completions API, streamed, as far as assistants need them.
 */

export interface StandInModel {
  /** Its base URL, which `/responses` and `/chat/completions` follow. */
  url: string
  close (): void
}

type Members = Record<string, unknown>

/** What an assistant asks: the tool that it offers, and what that tool said if it was called already. */
interface Question {
  tool: Members | undefined
  said: string | undefined
}

const ARGUMENTS = JSON.stringify({ l: 2, r: 3 })
const MODEL = 'stand-in'

export async function startStandInModel (): Promise<StandInModel> {
  const server = createServer((request, response) => {
    json(request).then(body => {
      const question = isObject(body) ? body : {}
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      if (request.url?.endsWith('/responses') === true) respond(response, readResponsesQuestion(question))
      else complete(response, readChatQuestion(question))
      response.end()
    }).catch(() => { response.writeHead(404).end() })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('It has no port.')
  return {
    url: `http://127.0.0.1:${address.port}/v1`,
    close () {
      server.close()
      server.closeAllConnections()
    }
  }
}

/** Tools stand in namespaces there, one for each MCP server, or carry its name. */
function readResponsesQuestion ({ input, tools }: Members): Question {
  const output = membersOf(input).findLast(({ type }) => type === 'function_call_output')
  const offered = membersOf(tools).flatMap(tool =>
    tool.type === 'namespace'
      ? membersOf(tool.tools).map(({ name }) => ({ name, namespace: tool.name }))
      : [{ name: tool.name }]
  )
  return { tool: offered.find(isAdd), said: output && JSON.stringify(output.output) }
}

function readChatQuestion ({ messages, tools }: Members): Question {
  const output = membersOf(messages).findLast(({ role }) => role === 'tool')
  const offered = membersOf(tools).map(tool => isObject(tool.function) ? { name: tool.function.name } : {})
  return { tool: offered.find(isAdd), said: output && JSON.stringify(output.content) }
}

function isAdd ({ name }: Members): boolean {
  return typeof name === 'string' && /(?:^|_)add$/.test(name)
}

function membersOf (list: unknown): Members[] {
  return Array.isArray(list) ? list.filter(isObject) : []
}

/** A response of the Responses API, as events. */
function respond (response: ServerResponse, { tool, said }: Question): void {
  const send = (type: string, members: Members) => {
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`)
  }
  const item = tool !== undefined && said === undefined
    ? { type: 'function_call', id: 'call', call_id: 'call', arguments: ARGUMENTS, ...tool }
    : { type: 'message', role: 'assistant', id: 'text', content: [{ type: 'output_text', text: sentence(said) }] }
  send('response.created', { response: { id: MODEL } })
  send('response.output_item.done', { item })
  send('response.completed', {
    response: { id: MODEL, usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } }
  })
}

/** A response of the Chat Completions API, in chunks. */
function complete (response: ServerResponse, { tool, said }: Question): void {
  const isCall = tool !== undefined && said === undefined
  const call = { index: 0, id: 'call', type: 'function', function: { ...tool, arguments: ARGUMENTS } }
  const delta = { role: 'assistant', ...isCall ? { tool_calls: [call] } : { content: sentence(said) } }
  const send = (choice: Members) => {
    const chunk = { id: MODEL, object: 'chat.completion.chunk', created: 1, model: MODEL, choices: [choice] }
    response.write(`data: ${JSON.stringify(chunk)}\n\n`)
  }
  send({ index: 0, delta })
  send({ index: 0, delta: {}, finish_reason: isCall ? 'tool_calls' : 'stop' })
  response.write('data: [DONE]\n\n')
}

function sentence (said: string | undefined): string {
  return said === undefined ? 'There is no tool.' : `The tool said ${said}.`
}
