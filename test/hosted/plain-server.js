// An MCP server over stdio without any SDK. What it does wrong is said by its arguments, or by the tool that is called.
import { spawn } from 'node:child_process'
import { appendFileSync, closeSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import process from 'node:process'

const flags = new Set(process.argv.slice(2))
const say = message => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
const text = value => ({ content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }] })
const waiting = new Map()
const subscribed = new Set()
let initializes = 0
let initialized = 0
let nextId = 1
const notes = []
const cancelled = []
let level
let capabilities

const ask = (method, params) => new Promise((resolve, reject) => {
  const id = nextId++
  waiting.set(id, { resolve, reject })
  say({ id, method, params })
})

const tools = {
  env: () => text({ env: process.env, args: process.argv.slice(2), cwd: process.cwd(), pid: process.pid }),
  pid: () => text(String(process.pid)),
  note: ({ text: note }) => text((notes.push(note), notes)),
  state: () => text({ initializes, initialized, notes, cancelled, level, capabilities, subscribed: [...subscribed] }),
  crash: () => process.exit(3),
  hang: (_args, { progressToken }) => {
    if (progressToken !== undefined) say({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
    return new Promise(() => {})
  },
  // until SIGUSR2, or for ever
  wait: async ({ name }) => {
    writeSync(2, `waits: ${name} (${process.pid})\n`)
    await new Promise(resolve => { if (!name.startsWith('endless')) process.once('SIGUSR2', resolve) })
    return text(name)
  },
  later: ({ ms }) => new Promise(resolve => { setTimeout(() => { resolve(text('late')) }, ms) }),
  ask: async ({ message }) => text(await ask('elicitation/create', {
    message,
    requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } }
  })),
  ask_both: async () => {
    const both = ['one', 'two'].map(async (message, index) => {
      // in a piece of its own
      if (index > 0) await new Promise(resolve => { setTimeout(resolve, 5) })
      return await ask('elicitation/create', { message, requestedSchema: { type: 'object', properties: {} } })
    })
    return text(await Promise.all(both))
  },
  sample: async () => text(await ask('sampling/createMessage', {
    messages: [{ role: 'user', content: { type: 'text', text: 'Hello' } }],
    maxTokens: 10
  })),
  roots: async () => text(await ask('roots/list')),
  ask_and_forget: () => {
    ask('elicitation/create', { message: 'forgotten', requestedSchema: { type: 'object', properties: {} } }).then(
      result => { notes.push(result) },
      error => { notes.push(error) }
    )
    return new Promise(() => {})
  },
  log: ({ data }) => {
    for (const each of ['debug', 'error']) say({ method: 'notifications/message', params: { level: each, data } })
    return text('logged')
  },
  progress: (_args, meta) => {
    for (const progress of [1, 2, 3]) {
      say({ method: 'notifications/progress', params: { progressToken: meta.progressToken, progress } })
    }
    return text(String(meta.progressToken))
  },
  touch: ({ uri }) => {
    if (subscribed.has(uri)) say({ method: 'notifications/resources/updated', params: { uri } })
    say({ method: 'notifications/tools/list_changed' })
    return text('touched')
  },
  garbage: () => {
    process.stdout.write('a banner\n{"jsonrpc":"2.0"}\n[1]\n\n{"half": \n')
    return text('after garbage')
  },
  // a result that no JSON.stringify can write
  nested: ({ depth }, _meta, id) => {
    const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`
    process.stdout.write(`{"jsonrpc":"2.0","id":${id},"result":{"content":[],"structuredContent":{"deep":${deep}}}}\n`)
    return new Promise(() => {})
  },
  odd: () => {
    const nothing = { toString: 0, valueOf: 0 }
    say({ method: 'notifications/resources/updated', params: { uri: nothing } })
    say({ method: 'notifications/message', params: { level: nothing, data: nothing } })
    say({ method: 'notifications/progress', params: { progressToken: nothing, progress: nothing } })
    say({ method: 'notifications/cancelled', params: { requestId: nothing } })
    say({ method: 'acme/other', params: { uri: nothing } })
    return text('after odd messages')
  },
  bytes: (_args, _meta, id) => {
    const [before, after] = JSON.stringify({ jsonrpc: '2.0', id, result: text('a|b') }).split('|')
    const invalid = Buffer.from([0xc3, 0x28, 0xff])
    process.stdout.write(Buffer.concat([Buffer.from(before), invalid, Buffer.from(`${after}\n`)]))
    return new Promise(() => {})
  },
  close: ({ fd }) => {
    setInterval(() => {}, 1_000_000)
    return new Promise(resolve => {
      if (fd === 0) {
        process.stdin.once('close', () => {
          // Node.js leaves it open
          closeSync(fd)
          resolve(text('closed'))
        }).destroy()
      } else {
        resolve(text('closing'))
        setTimeout(() => { closeSync(fd) }, 20)
      }
    })
  },
  questions: async ({ count }) => {
    const refused = Array.from({ length: count }, () => ask('elicitation/create', {
      message: 'And?', requestedSchema: { type: 'object', properties: {} }
    }).then(() => [], error => [error]))
    return text((await Promise.race(refused))[0]?.message ?? 'answered')
  },
  task: (_args, { progressToken }) => {
    setTimeout(() => { say({ method: 'notifications/progress', params: { progressToken, progress: 7 } }) }, 50)
    const at = new Date(0).toISOString()
    return { task: { taskId: 'a', status: 'working', createdAt: at, lastUpdatedAt: at, ttl: null } }
  },
  flood: ({ messages, bytes = 1000 }, { progressToken }) => new Promise(resolve => {
    let progress = 0
    const message = 'x'.repeat(bytes)
    const more = () => {
      while (progress < messages) {
        const params = { progressToken, progress: ++progress, message }
        const line = `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })}\n`
        if (process.stdout.write(line)) continue
        const blocked = setTimeout(() => { appendFileSync(process.env.BLOCKED ?? '/dev/null', `${progress}\n`) }, 300)
        process.stdout.once('drain', () => {
          clearTimeout(blocked)
          more()
        })
        return
      }
      notes.push('flooded')
      resolve(text('flooded'))
    }
    more()
  }),
  huge: ({ length }) => text('x'.repeat(length)),
  whisper: ({ lines }) => {
    for (let line = 0; line < lines; line++) writeSync(2, `line ${line}\n`)
    writeSync(2, `${'y'.repeat(10_000)}\n`)
    return text('whispered')
  },
  family: () => {
    const child = spawn(process.execPath, ['-e', 'process.on("SIGTERM",()=>{});setInterval(()=>{},1e6)'], {
      stdio: 'ignore'
    })
    return text(String(child.pid))
  },
  eat: ({ megabytes }) => {
    notes.push(Buffer.alloc(megabytes * 1_048_576, 1))
    return new Promise(() => {})
  },
  deaf: () => {
    setInterval(() => {}, 1_000_000)
    lines.pause()
    process.stdin.pause()
    return text('deaf')
  }
}

const methods = {
  async initialize (params) {
    initializes++
    capabilities = Object.keys(params.capabilities)
    if (flags.has('--never-ready')) await new Promise(() => {})
    if (flags.has('--slow')) await new Promise(resolve => { setTimeout(resolve, 700) })
    return {
      protocolVersion: params.protocolVersion,
      capabilities: {
        tools: { listChanged: true },
        logging: {},
        completions: {},
        resources: { subscribe: true },
        tasks: { list: {} }
      },
      serverInfo: { name: 'plain', version: '1' }
    }
  },
  ping: () => ({}),
  'tools/list': () => ({ tools: Object.keys(tools).map(name => ({ name, inputSchema: { type: 'object' } })) }),
  'tools/call': ({ name, arguments: args = {}, _meta: meta = {} }, id) => tools[name](args, meta, id),
  'logging/setLevel': params => {
    level = params.level
    return {}
  },
  'completion/complete': ({ argument: { value } }) => ({ completion: { values: [`${value}lue`] } }),
  'resources/list': () => ({ resources: [] }),
  'resources/subscribe': ({ uri }) => {
    subscribed.add(uri)
    return {}
  },
  'resources/unsubscribe': ({ uri }) => {
    subscribed.delete(uri)
    return {}
  }
}

// what older programs do that do not say that they do not know it
const discoveries = {
  '--silent': () => {},
  '--exits': () => process.exit(9),
  '--stuck': () => { lines.removeAllListeners('line') }
}

async function serve ({ id, method, params, result, error }) {
  const [discovery] = Object.keys(discoveries).filter(flag => flags.has(flag))
  if (method === 'server/discover' && discovery !== undefined) discoveries[discovery]()
  else if (method === undefined) {
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) resolve(result)
    else reject(error)
  } else if (id === undefined) {
    if (method === 'notifications/initialized') initialized++
    if (method === 'notifications/roots/list_changed') notes.push(method)
    if (method === 'notifications/cancelled') cancelled.push(params.requestId)
  } else if (methods[method] === undefined) say({ id, error: { code: -32601, message: 'Method not found' } })
  else {
    try {
      say({ id, result: await methods[method](params, id) })
    } catch (failure) {
      say({ id, error: { code: -32603, message: failure.message } })
    }
  }
}

if (process.env.STARTS !== undefined) appendFileSync(process.env.STARTS, `${process.pid}\n`)
if (flags.has('--exit')) process.exit(7)
if (flags.has('--banner')) process.stdout.write('Welcome!\n')
if (flags.has('--stubborn')) {
  process.on('SIGTERM', () => {})
  setInterval(() => {}, 1_000_000)
}
const lines = createInterface({ input: process.stdin })
lines.on('line', line => {
  serve(JSON.parse(line)).catch(error => { writeSync(2, `${String(error)}\n`) })
})
