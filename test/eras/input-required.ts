import * as z from 'zod'

const INPUT_REQUIRED = z.looseObject({
  resultType: z.literal('input_required'),
  requestState: z.string(),
  inputRequests: z.record(z.string(), z.looseObject({ method: z.string() }))
})

/** What a call asks for before it continues. */
export type Asked = Pick<z.output<typeof INPUT_REQUIRED>, 'requestState' | 'inputRequests'>

/**
 * What a result asks for.
 * @throws {z.ZodError} if it asks for nothing
 */
export const parseAsked = (result: unknown): Asked => INPUT_REQUIRED.parse(result)

/** Answers all that a call asks for. */
export function answerAll ({ inputRequests }: Pick<Asked, 'inputRequests'>): Record<string, unknown> {
  const answers: Record<string, unknown> = {
    'elicitation/create': { action: 'accept', content: { colour: 'blue' } },
    'sampling/createMessage': { model: 'echo', role: 'assistant', content: { type: 'text', text: 'sampled' } },
    'roots/list': { roots: [] }
  }
  return Object.fromEntries(Object.entries(inputRequests).map(([key, { method }]) => [key, answers[method]]))
}
