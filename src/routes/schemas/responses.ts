import { Type, type TSchema } from '@sinclair/typebox'

/** A response as `response` of a route's schema has it. */
export interface DocumentedResponse {
  description: string
  /** Absent: there is no body. */
  type?: 'null'
  content?: Record<string, { schema: TSchema }>
}

export function emptyResponse (description: string): DocumentedResponse {
  return { description, type: 'null' }
}

export function jsonResponse (description: string, schema: TSchema): DocumentedResponse {
  return { description, content: { 'application/json': { schema } } }
}

export function pageResponse (description: string): DocumentedResponse {
  return { description, content: { 'text/html': { schema: Type.String() } } }
}

/** A metadata document, or another one that anybody may read. */
export function documentResponse (schema: TSchema = Type.Object({})): { 200: DocumentedResponse } {
  return { 200: jsonResponse('The document.', schema) }
}
