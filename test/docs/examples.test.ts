import t from 'tap'
import { checkExamples, codeOf } from './check-examples.js'

/*
 * Every export has an example in its docstring, which editors show. Each is a file of its own that is type-checked, as
 * in a project that has installed the package.
 */
const MOST_LINES = 12

const { exported, faults } = checkExamples({
  'a name that does not exist': "import { oauthBrokers } from 'fastify-mcp-oauth'\n\noauthBrokers()\n",
  'a value of the wrong type': "import { Keyring } from 'fastify-mcp-oauth'\n\nexport const keys = new Keyring(5)\n"
})

t.test('every export has a docstring', async t => {
  t.ok(exported.length > 80, 'the exports are found')
  t.same(exported.filter(({ documentation }) => documentation === '').map(({ title }) => title), [])
})

t.test('every member of an export has a docstring', async t => {
  t.same(exported.flatMap(({ title, unexplained }) => unexplained.map(name => `${name} of ${title}`)), [])
})

t.test('every export has an example', async t => {
  t.same(exported.filter(({ examples }) => examples.length === 0).map(({ title }) => title), [])
})

t.test('an example is a short piece of TypeScript that imports what it is an example of', async t => {
  for (const { title, module, names, examples, imports } of exported) {
    for (const [index, example] of examples.entries()) {
      const code = codeOf(example)
      t.not(code, undefined, `${title}: one block, of the language ts`)
      t.ok((code ?? '').split('\n').length <= MOST_LINES, `${title}: at most ${MOST_LINES} lines`)
      t.ok(names.some(name => imports[index]?.includes(`${module} ${name}`)), `${title}: imports it from ${module}`)
    }
  }
})

t.test('every example type-checks', async t => {
  for (const { title } of exported) t.same(faults.get(title) ?? [], [], title)
})

t.test('a wrong example does not', async t => {
  t.match(faults.get('a name that does not exist'), [/has no exported member named 'oauthBrokers'/])
  t.match(faults.get('a value of the wrong type'), [/not assignable to parameter of type 'string'/])
})
