import assert from 'node:assert/strict'

/** What a client can do at a service, whichever it is. */
export interface UsingClient {
  /** Calls a tool. @returns its content as JSON, also that of an error */
  call (name: string, args?: Record<string, unknown>, onprogress?: () => void): Promise<string>
  /** The URIs of the resources. */
  resources (): Promise<string[]>
}

/** What two people do at a server at the same time. Rejects if they do not get what they want. */
export interface Use {
  /** One call, for clients that make no more, and what its result shows. */
  probe: { name: string, arguments: Record<string, unknown>, result: RegExp }
  /** One leaves something there, if the server keeps anything. */
  act (client: UsingClient, me: string): Promise<void>
  /** Once both have: one finds what is one's own, and nothing else. May be repeated. */
  check (client: UsingClient, me: string, other: string): Promise<void>
}

// a client of SDK 1.x misses the steps that arrive in one piece with the result
async function hasProgress (client: UsingClient, tool: string, args: Record<string, unknown>, least = 3) {
  let steps = 0
  await client.call(tool, args, () => { steps++ })
  assert.ok(steps >= least, `${steps} steps of progress`)
}

/** The sample server. */
export const useSample: Use = {
  probe: { name: 'add', arguments: { l: 2, r: 3 }, result: /"text":\s*"5"/ },
  async act (client, me) {
    await hasProgress(client, 'countdown', { from: 3, intervalMs: 100 })
    assert.match(await client.call('whoami'), new RegExp(me))
  },
  async check (client) {
    assert.match(await client.call('add', { l: 2, r: 3 }), /"text":"5"/)
  }
}

/** @modelcontextprotocol/server-everything. */
export const useEverything: Use = {
  probe: { name: 'echo', arguments: { message: 'hello' }, result: /Echo: hello/ },
  async act (client, me) {
    await hasProgress(client, 'trigger-long-running-operation', { duration: 0.4, steps: 4 })
    const kept = { name: `${me}.gz`, data: 'data:text/plain,hello', outputType: 'resourceLink' }
    assert.match(await client.call('gzip-file-as-resource', kept), /resource_link/)
  },
  async check (client, me, other) {
    assert.match(await client.call('echo', { message: me }), new RegExp(`Echo: ${me}`))
    const resources = (await client.resources()).join(' ')
    assert.match(resources, new RegExp(`/session/${me}\\.gz`))
    assert.doesNotMatch(resources, new RegExp(`/session/${other}\\.gz`))
  }
}

/** @modelcontextprotocol/server-memory, with a file for each person. */
export const useMemory: Use = {
  probe: { name: 'read_graph', arguments: {}, result: /entities/ },
  async act (client, me) {
    const entity = { name: `diary of ${me}`, entityType: 'diary', observations: ['private'] }
    assert.match(await client.call('create_entities', { entities: [entity] }), /content|text/)
  },
  async check (client, me, other) {
    const graph = await client.call('read_graph')
    assert.match(graph, new RegExp(`diary of ${me}`))
    assert.doesNotMatch(graph, new RegExp(`diary of ${other}`))
  }
}

/** @modelcontextprotocol/server-filesystem, with a folder for each person. */
export const useFilesystem: Use = {
  probe: { name: 'list_directory', arguments: { path: '.' }, result: /"text"/ },
  async act (client, me) {
    const file = { path: `${me}.txt`, content: `secret of ${me}` }
    assert.match(await client.call('write_file', file), /Successfully wrote/)
  },
  async check (client, me, other) {
    assert.match(await client.call('read_text_file', { path: `${me}.txt` }), new RegExp(`secret of ${me}`))
    assert.doesNotMatch(await client.call('list_directory', { path: '.' }), new RegExp(`${other}\\.txt`))
    for (const path of ['..', '/etc/passwd']) {
      assert.match(await client.call('list_directory', { path }), /Access denied/, 'whatever roots the client says it has')
    }
  }
}

/** The server in Python, which keeps notes in its memory. */
export const usePython: Use = {
  probe: { name: 'notes', arguments: {}, result: /"text"/ },
  async act (client, me) {
    await hasProgress(client, 'count', { to: 4 })
    assert.match(await client.call('note', { text: `note of ${me}` }), new RegExp(`note of ${me}`))
  },
  async check (client, me, other) {
    const notes = await client.call('notes')
    assert.match(notes, new RegExp(`note of ${me}`))
    assert.doesNotMatch(notes, new RegExp(`note of ${other}`))
  }
}
