import { Type } from '@sinclair/typebox'
import { choice, list, text } from './kinds.js'

/** Which MCP server is hosted; at most one of them is set. Default: the sample server. */
export const serverVariables = {
  SERVER_MODULE: Type.Optional(text(
    'The MCP server, as a module: a file whose default export, or export createServer, makes one ' +
      '(docs/your-server.md). Of SERVER_MODULE, SERVER_COMMAND, SERVER_URL and SERVERS_FILE, one may be set. ' +
      'Default: the sample server'
  )),
  SERVER_COMMAND: Type.Optional(text(
    'The MCP server, as a program that speaks MCP over its standard input and output, with its arguments: uvx ' +
      'some-server. There is no shell: no variables, patterns or pipes'
  )),
  SERVER_ENV: list('Variables of this process that the program of SERVER_COMMAND gets, by name'),
  /* eslint-disable no-template-curly-in-string -- templates of the hosted program */
  SERVER_CWD: Type.Optional(text(
    'Where the program of SERVER_COMMAND runs: /var/lib/notes/${personId} is a folder for each person, made at need. ' +
      'Default: the working directory of this process'
  )),
  /* eslint-enable no-template-curly-in-string */
  SERVER_PROCESS: choice(
    'How many processes run SERVER_COMMAND: one for each person, for each session, or one that all share (only for ' +
      'a server that keeps nothing of its callers)',
    'person',
    ['person', 'session', 'shared']
  ),
  SERVER_URL: Type.Optional(text(
    'The MCP server, by its URL: http://localhost:8000/mcp'
  )),
  SERVER_HEADERS: text('Headers of every request to SERVER_URL, as JSON: {"x-api-key":"…"}', { default: '{}' }),
  SERVER_AUTH: choice(
    'What else goes along to SERVER_URL: upstream-token: the person\'s access token of the login server',
    'none',
    ['none', 'upstream-token']
  ),
  SERVERS_FILE: Type.Optional(text(
    'Several MCP servers, each at its own path: a JSON file with mcpServers, as MCP clients have it ' +
      '(docs/several-servers.md)'
  ))
}
