import { Type, type TObject, type TSchema, type TUnsafe } from '@sinclair/typebox'

/** Parameters of a query, a form or headers: name -> what it is. */
export type ParameterTexts = Readonly<Record<string, string>>

/** A query, or headers, of strings. */
export function parameters (texts: ParameterTexts, required: readonly string[] = []): TObject {
  return Type.Object(Object.fromEntries(Object.entries(texts).map(([name, description]) => {
    const text = Type.String({ description })
    return [name, required.includes(name) ? text : Type.Optional(text)]
  })))
}

export function formBody (texts: ParameterTexts, required: readonly string[] = []): object {
  return { content: { 'application/x-www-form-urlencoded': { schema: parameters(texts, required) } } }
}

export function jsonBody (schema: TSchema): object {
  return { content: { 'application/json': { schema } } }
}

/** One of several texts. */
export function oneOfTexts<Text extends string> (texts: readonly Text[]): TUnsafe<Text> {
  return Type.Unsafe<Text>({ enum: texts })
}

/** How a client authenticates with its key. */
export const ASSERTION: ParameterTexts = {
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer, with client_assertion',
  client_assertion: 'A JWT that the client has signed (private_key_jwt, RFC 7523)'
}

/** How a client authenticates in a form, if it does not use HTTP Basic. */
export const CREDENTIALS: ParameterTexts = {
  client_id: 'The client, unless it uses HTTP Basic',
  client_secret: 'Its secret, if it has one',
  ...ASSERTION
}

/** The names that the document has for the ways to authenticate. */
export const security = {
  accessToken: [{ accessToken: [] }],
  client: [{}, { basic: [] }],
  service: [{ basic: [] }],
  operator: [{ basic: [] }, { adminToken: [] }],
  metrics: [{}, { metricsToken: [] }]
}
