import type { ElicitRequestFormParams } from '@modelcontextprotocol/sdk/types.js'

/** What both fixture servers give out and ask for. */

type RequestedSchema = ElicitRequestFormParams['requestedSchema']

export const RED_PIXEL_PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC'
export const SILENT_WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='
/** Between two notifications of a call. */
export const STEP_MS = 50

export const userSchema: RequestedSchema = {
  type: 'object',
  properties: {
    username: { type: 'string', description: "User's response" },
    email: { type: 'string', description: "User's email address" }
  },
  required: ['username', 'email']
}

/** SEP-1034: a default for each primitive type. */
export const defaultsSchema: RequestedSchema = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true }
  }
}

/** SEP-1330: each way to write an enum. */
export const enumsSchema: RequestedSchema = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: {
      type: 'string',
      oneOf: [{ const: 'value1', title: 'First Option' }, { const: 'value2', title: 'Second Option' }, {
        const: 'value3',
        title: 'Third Option'
      }]
    },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three']
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
    titledMulti: {
      type: 'array',
      items: {
        anyOf: [{ const: 'value1', title: 'First Choice' }, { const: 'value2', title: 'Second Choice' }, {
          const: 'value3',
          title: 'Third Choice'
        }]
      }
    }
  }
}

/** SEP-2322: what the tools named `test_input_required_result_…` ask for. */
export const nameQuestion = {
  message: 'What is your name?',
  requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }
} satisfies ElicitRequestFormParams

export const colourQuestion = {
  message: 'Step 2: What is your favorite color?',
  requestedSchema: { type: 'object', properties: { color: { type: 'string' } }, required: ['color'] }
} satisfies ElicitRequestFormParams

export const confirmation = {
  message: 'Please confirm',
  requestedSchema: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
} satisfies ElicitRequestFormParams

export const contextQuestion = {
  message: 'What context should the prompt use?',
  requestedSchema: { type: 'object', properties: { context: { type: 'string' } }, required: ['context'] }
} satisfies ElicitRequestFormParams

/** Asks the client's model. */
export const modelQuestion = (text: string, maxTokens: number) =>
  ({ messages: [{ role: 'user' as const, content: { type: 'text' as const, text } }], maxTokens })

export const redPixel = { type: 'image' as const, data: RED_PIXEL_PNG, mimeType: 'image/png' }
export const textContent = (text: string) => ({ type: 'text' as const, text })
export const text = (value: string) => ({ content: [textContent(value)] })
