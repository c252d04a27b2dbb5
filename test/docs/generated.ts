import { policyFileJsonSchema } from '../../src/policy/file/schema.js'
import { compatibilityPage } from './compatibility.js'
import { configurationPage, envExample } from './environment.js'
import { llmsText } from './llms.js'
import { optionsPage } from './options.js'

/** Every file that is made from the code, and its text. */
export function generated (): Array<[file: string, text: string]> {
  return [
    ['.env.example', envExample()],
    ['docs/configuration.md', configurationPage()],
    ['docs/options.md', optionsPage()],
    ['docs/policy.schema.json', `${JSON.stringify(policyFileJsonSchema(), null, 2)}\n`],
    ['docs/compatibility.md', compatibilityPage()],
    ['llms.txt', llmsText()]
  ]
}
