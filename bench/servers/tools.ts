import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator1 } from '@modelcontextprotocol/sdk/validation/ajv'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator2 } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'
import { constantSchema } from '../../src/mcp/constant-schema.js'

/*
 * A server with as many tools as is asked for, one of them `add`, in the words of either SDK. As docs/eras.md advises,
 * what does not depend on a request is built once; the same for every server that is measured.
 */
const SERVER = { name: 'bench', version: '1.0.0' }
const validator1 = new AjvJsonSchemaValidator1()
const validator2 = new AjvJsonSchemaValidator2()

const DESCRIPTION = { title: 'Add', description: 'Adds two numbers.' }

interface Tool {
  name: string
  inputSchema: ReturnType<typeof operands>
  constantInputSchema: ReturnType<typeof constantOperands>
}

const operands = () => z.object({ l: z.number(), r: z.number() })
const constantOperands = () => constantSchema(operands())

/** Descriptions of `count` tools, each with a schema of its own. */
export function toolsOf (count: number): Tool[] {
  return Array.from({ length: count }, (_, index) => ({
    name: index === 0 ? 'add' : `add-${index}`,
    inputSchema: operands(),
    constantInputSchema: constantOperands()
  }))
}

const add = ({ l, r }: { l: number, r: number }) => ({ content: [{ type: 'text' as const, text: String(l + r) }] })

export function serverOfSdk1 (tools: readonly Tool[]): McpServer1 {
  const server = new McpServer1(SERVER, { jsonSchemaValidator: validator1, capabilities: { logging: {} } })
  for (const { name, inputSchema } of tools) server.registerTool(name, { ...DESCRIPTION, inputSchema }, add)
  return server
}

/** @param Server of the copy of the SDK that is to serve it: the peers have one of their own */
export function serverOfSdk2 (tools: readonly Tool[], Server = McpServer2): McpServer2 {
  const server = new Server(SERVER, { jsonSchemaValidator: validator2, capabilities: { logging: {} } })
  for (const { name, constantInputSchema: inputSchema } of tools) {
    server.registerTool(name, { ...DESCRIPTION, inputSchema }, add)
  }
  return server
}
