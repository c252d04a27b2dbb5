import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { isIP, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import t, { type Test } from 'tap'
import { OAuthError } from '../../src/errors.js'
import {
  isMetadataDocumentUrl,
  MetadataDocumentFetcher,
  type FetchMetadataDocumentOptions
} from '../../src/oauth/client-documents/fetch.js'
import { addressOf } from '../support/address-of.js'

const fetchMetadataDocument = (clientId: string, options: FetchMetadataDocumentOptions) =>
  new MetadataDocumentFetcher(options).fetch(clientId)

async function listen (t: Test, server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = addressOf(server)
  return address.port
}

/** Serves on loopback; the client_id is the URL of the document there. */
async function serve (t: Test, handler: RequestListener, host = '127.0.0.1') {
  const server = createServer(handler)
  const port = await listen(t, server, host)
  t.teardown(() => server.closeAllConnections())
  return { port, clientId: `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}/client.json` }
}

/** Answers with the document that a request asks for, whatever the host. */
const answer =
  (headers: Record<string, string> = {}, change: (body: string) => string = body => body): RequestListener =>
    (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', ...headers })
      response.end(
        change(JSON.stringify({ client_id: `http://${request.headers.host}${request.url}`, client_name: 'A client' }))
      )
    }

const resolvesTo = (...addresses: string[]) => async () =>
  addresses.map(address => ({ address, family: isIP(address) }))

/** The promise rejects with the one public message and this private reason. */
async function refused (t: Test, promise: Promise<unknown>, detail: RegExp, name?: string) {
  await t.rejects(promise, {
    name: 'InvalidClientError',
    code: 'invalid_client',
    message: /^The metadata document of the client cannot be used\.$/,
    detail
  }, name ?? String(detail))
}

/** The promise rejects with the one public message of what may be otherwise soon, and this private reason. */
async function unreadable (t: Test, promise: Promise<unknown>, detail: RegExp, name?: string) {
  await t.rejects(promise, {
    code: 'temporarily_unavailable',
    message: /^The metadata document of the client cannot be read\. Try again in 30 seconds\.$/,
    retryAfterSeconds: 30,
    reason: 'document_unreachable',
    detail
  }, name ?? String(detail))
}

t.test('isMetadataDocumentUrl', async t => {
  const padded = (length: number) => 'https://client.example/'.padEnd(length, 'x')
  const rows: Array<[clientId: string, production: boolean, development: boolean]> = [
    ['https://client.example/client.json', true, true],
    ['https://client.example:8443/a/b?c=/../d', true, true],
    ['https://client.example/a..b/.well-known/x', true, true],
    ['https://client.example//', true, true],
    [padded(2048), true, true],
    [padded(2049), false, false],
    ['https://client.example', false, false],
    ['https://client.example/', false, false],
    ['https://client.example/?a=b', false, false],
    ['https://client.example/a#b', false, false],
    ['https://client.example/a#', false, false],
    ['https://client.example/a?b#c', false, false],
    ['https://user@client.example/a', false, false],
    ['https://user:pass@client.example/a', false, false],
    ['https://@client.example/a', false, false],
    ['https://client.example/a/../b', false, false],
    ['https://client.example/a/./b', false, false],
    ['https://client.example/a/..', false, false],
    ['https://client.example/%2e%2E/b', false, false],
    ['https://client.example/.%2e/b', false, false],
    ['https://client.example/a\\..\\b', false, false],
    ['https://client.example\\@other.example/a', false, false],
    ['https://client.example/.\t./b', false, false],
    [' https://client.example/a', false, false],
    ['https://client.example/a\n', false, false],
    ['https://client.example/é', false, false],
    ['https:/client.example/a', false, false],
    ['https:client.example/a', false, false],
    ['https:///client.example/a', false, false],
    ['https://client.example:99999/a', false, false],
    ['http://client.example/a', false, false],
    ['ftp://client.example/a', false, false],
    ['file:///etc/passwd', false, false],
    ['data:application/json,{}', false, false],
    ['client-1', false, false],
    ['', false, false],
    ['http://localhost:3000/a', false, true],
    ['http://client.localhost/a', false, true],
    ['http://localhost./a', false, true],
    ['https://localhost/a', false, true],
    ['http://127.0.0.1/a', false, true],
    ['http://127.8.9.10/a', false, true],
    ['http://0x7f.1/a', false, true],
    ['http://2130706433/a', false, true],
    ['https://2130706433/a', false, true],
    ['http://[::1]:3000/a', false, true],
    ['http://[::ffff:127.0.0.1]/a', false, true],
    ['http://127.0.0.1/', false, false],
    ['http://localhost.example/a', false, false],
    ['http://notlocalhost/a', false, false],
    ['http://127.0.0.1.example/a', false, false],
    ['http://10.0.0.1/a', false, false],
    ['http://0.0.0.0/a', false, false],
    ['http://[::]/a', false, false]
  ]
  for (const [clientId, production, development] of rows) {
    t.equal(
      isMetadataDocumentUrl(clientId, false),
      production,
      `${JSON.stringify(clientId.slice(0, 60))} in production`
    )
    t.equal(
      isMetadataDocumentUrl(clientId, true),
      development,
      `${JSON.stringify(clientId.slice(0, 60))} with loopback`
    )
  }
})

t.test('fetches a document', async t => {
  const requests: IncomingMessage[] = []
  const { port, clientId } = await serve(t, (request, response) => {
    requests.push(request)
    answer()(request, response)
  })
  const url = `${clientId}?a=b`
  t.same(await fetchMetadataDocument(url, { allowLoopback: true }), {
    document: { client_id: url, client_name: 'A client' },
    maxAgeSeconds: 300
  })
  t.equal(requests.length, 1)
  t.equal(requests[0]?.method, 'GET')
  t.same(requests[0]?.headers, {
    accept: 'application/json',
    'user-agent': 'fastify-mcp-oauth',
    host: `127.0.0.1:${port}`,
    connection: 'close'
  }, 'no cookie, nothing else')
})

const noIPv6 = Object.values(networkInterfaces()).flat().some(address => address?.address === '::1')
  ? false
  : 'no IPv6 loopback here'

t.test('fetches from [::1], and from the IPv4-mapped form of 127.0.0.1', { skip: noIPv6 }, async t => {
  const { clientId } = await serve(t, answer(), '::1')
  t.equal((await fetchMetadataDocument(clientId, { allowLoopback: true })).document.client_id, clientId)
  const { port } = await serve(t, answer())
  const mapped = `http://[::ffff:7f00:1]:${port}/a`
  t.equal((await fetchMetadataDocument(mapped, { allowLoopback: true })).document.client_id, mapped)
})

t.test('the default lookup resolves localhost', async t => {
  const { port } = await serve(t, answer())
  const clientId = `http://localhost:${port}/a`
  t.equal((await fetchMetadataDocument(clientId, { allowLoopback: true })).document.client_id, clientId)
})

t.test('special addresses', async t => {
  // First and last address of every range.
  const special = [
    ['0.0.0.0', '0.255.255.255'],
    ['10.0.0.0', '10.255.255.255'],
    ['100.64.0.0', '100.127.255.255'],
    ['169.254.0.0', '169.254.169.254', '169.254.255.255'],
    ['172.16.0.0', '172.31.255.255'],
    ['192.0.0.0', '192.0.0.255'],
    ['192.0.2.0', '192.0.2.255'],
    ['192.88.99.0', '192.88.99.255'],
    ['192.168.0.0', '192.168.255.255'],
    ['198.18.0.0', '198.19.255.255'],
    ['198.51.100.0', '198.51.100.255'],
    ['203.0.113.0', '203.0.113.255'],
    ['224.0.0.0', '239.255.255.255'],
    ['240.0.0.0', '255.255.255.255'],
    ['::', '::2', '::10.0.0.1', '::255.255.255.255'],
    ['::ffff:0:0:0', '::ffff:0:127.0.0.1', '::ffff:0:255.255.255.255'],
    ['64:ff9b::', '64:ff9b::169.254.169.254', '64:ff9b::255.255.255.255'],
    ['64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
    ['100::', '100::ffff:ffff:ffff:ffff', '100:0:0:1::', '100::1:ffff:ffff:ffff:ffff'],
    ['2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2002::', '2002:7f00:1::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['fc00::', 'fd00:ec2::254', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '::ffff:0.0.0.0', '0:0:0:0:0:ffff:192.168.1.1', '::FFFF:AC10:1']
  ].flat()
  const loopback = [
    '127.0.0.0',
    '127.0.0.1',
    '127.255.255.255',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1'
  ]
  const options = { allowLoopback: false, timeoutMs: 1000 }

  t.test('a name that resolves to one', async t => {
    for (const address of [...special, ...loopback]) {
      await refused(t, fetchMetadataDocument('https://client.example/a', { ...options, lookup: resolvesTo(address) }),
        /^client\.example resolves to the special address /, address)
    }
    for (const address of special) {
      await refused(
        t,
        fetchMetadataDocument('https://client.example/a', { allowLoopback: true, lookup: resolvesTo(address) }),
        /^client\.example resolves to the special address /,
        `${address} with loopback`
      )
    }
  })

  t.test('as a literal in the URL', async t => {
    const lookup = async () => { throw new Error('an address was looked up') }
    for (const address of special) {
      const host = isIP(address) === 6 ? `[${address}]` : address
      await refused(
        t,
        fetchMetadataDocument(`https://${host}/a`, { ...options, lookup }),
        /resolves to the special address/,
        host
      )
    }
    for (const host of ['0xa9fea9fe', '2852039166', '0251.0376.0251.0376', '169.254.43518', '169.254.169.254.']) {
      await refused(t, fetchMetadataDocument(`https://${host}/a`, { ...options, lookup }),
        /resolves to the special address 169\.254\.169\.254/, host)
    }
    for (const address of loopback) {
      const host = isIP(address) === 6 ? `[${address}]` : address
      await refused(t, fetchMetadataDocument(`https://${host}/a`, { ...options, lookup }), /is not the URL/, host)
    }
  })

  t.test('among public ones, wherever it stands', async t => {
    for (
      const addresses of [['8.8.8.8', '10.0.0.1'], ['10.0.0.1', '8.8.8.8'], ['2600::1', '8.8.8.8', '::ffff:10.0.0.1']]
    ) {
      await refused(
        t,
        fetchMetadataDocument('https://client.example/a', { ...options, lookup: resolvesTo(...addresses) }),
        /special address (::ffff:)?10\.0\.0\.1/,
        addresses.join()
      )
    }
  })

  t.test('invalid addresses, and no address at all', async t => {
    for (const address of ['fe80::1%eth0', '2600::1%eth0', 'client.example', '']) {
      await refused(
        t,
        fetchMetadataDocument('https://client.example/a', { ...options, lookup: resolvesTo(address) }),
        /not a usable address/,
        address
      )
    }
    await refused(
      t,
      fetchMetadataDocument('https://client.example/a', { ...options, lookup: resolvesTo() }),
      /has no address/
    )
    const lookup = async () => {
      throw new Error('ESERVFAIL')
    }
    await unreadable(t, fetchMetadataDocument('https://client.example/a', { ...options, lookup }), /ESERVFAIL/)
  })

  t.test('the neighbours of the ranges are public', async t => {
    // Over http whatever is not loopback is refused without a connection, and for another reason than a special
    // address.
    for (
      const address of [
        '1.0.0.0',
        '9.255.255.255',
        '11.0.0.0',
        '100.63.255.255',
        '100.128.0.0',
        '126.255.255.255',
        '128.0.0.0',
        '169.253.255.255',
        '169.255.0.0',
        '172.15.255.255',
        '172.32.0.0',
        '191.255.255.255',
        '192.0.1.0',
        '192.0.3.0',
        '192.88.98.255',
        '192.88.100.0',
        '192.167.255.255',
        '192.169.0.0',
        '198.17.255.255',
        '198.20.0.0',
        '198.51.99.255',
        '198.51.101.0',
        '203.0.112.255',
        '203.0.114.0',
        '223.255.255.255',
        '::1:0:0',
        '::ffff:1:0:0',
        '64:ff9b::1:0:0',
        '64:ff9b:0:1::',
        '64:ff9b:2::',
        '100:0:0:2::',
        '5eff::',
        '5f01::',
        'fbff::',
        'fe00::',
        'fe7f::',
        '2000::',
        '2001:200::',
        '2001:db7::',
        '2001:db9::',
        '2003::',
        '3ffe::',
        '3fff:1000::',
        '2600::1',
        '::ffff:8.8.8.8'
      ]
    ) {
      await refused(
        t,
        fetchMetadataDocument('http://localhost/a', { allowLoopback: true, lookup: resolvesTo(address) }),
        /http is for loopback addresses only$/,
        address
      )
    }
  })
})

t.test('loopback is refused without allowLoopback, and not connected to', async t => {
  let connections = 0
  const server = createServer(answer()).on('connection', () => connections++)
  const port = await listen(t, server)
  for (const host of ['127.0.0.1', 'localhost', '[::ffff:7f00:1]']) {
    for (const scheme of ['http', 'https']) {
      await refused(
        t,
        fetchMetadataDocument(`${scheme}://${host}:${port}/a`, { allowLoopback: false }),
        /is not the URL/
      )
    }
  }
  await refused(
    t,
    fetchMetadataDocument(`https://client.example:${port}/a`, {
      allowLoopback: false,
      lookup: resolvesTo('127.0.0.1')
    }),
    /special address 127\.0\.0\.1/
  )
  t.equal(connections, 0)
})

t.test('DNS rebinding: one resolution, and the connection goes to what it gave', async t => {
  const hosts: Array<string | undefined> = []
  const { port } = await serve(t, (request, response) => {
    hosts.push(request.socket.localAddress)
    answer()(request, response)
  }, '127.0.0.2')
  const names: string[] = []
  const lookup = async (hostname: string) => {
    names.push(hostname)
    // The second answer would be another address.
    return [{ address: names.length === 1 ? '127.0.0.2' : '169.254.169.254', family: 4 }]
  }
  const clientId = `http://rebind.localhost:${port}/a`
  const { document } = await fetchMetadataDocument(clientId, { allowLoopback: true, lookup })
  t.same(names, ['rebind.localhost'])
  t.same(hosts, ['127.0.0.2'])
  t.equal(document.client_id, clientId, 'the Host header is the name')
})

t.test('several addresses: another is tried if the first does not answer', async t => {
  const { port } = await serve(t, answer())
  const clientId = `http://localhost:${port}/a`
  const { document } = await fetchMetadataDocument(clientId, {
    allowLoopback: true,
    lookup: resolvesTo('::1', '127.0.0.1')
  })
  t.equal(document.client_id, clientId)
})

t.test('https: pinned likewise, with the name for the server name', async t => {
  const names: string[] = []
  // It has no certificate: that the name arrives, and that the handshake fails, is all there is to see.
  const server = createHttpsServer({ SNICallback: (name, done) => { names.push(name); done(null) } })
  const port = await listen(t, server)
  await refused(
    t,
    fetchMetadataDocument(`https://client.example:${port}/a`, { allowLoopback: true, lookup: resolvesTo('127.0.0.1') }),
    /cannot be read/
  )
  t.same(names, ['client.example'])
})

t.test('a redirect is not followed', async t => {
  let hits = 0
  const internal = await serve(t, (request, response) => {
    hits++
    answer()(request, response)
  })
  for (const status of [301, 302, 303, 307, 308]) {
    const { clientId } = await serve(
      t,
      (_request, response) => response.writeHead(status, { location: internal.clientId }).end()
    )
    await refused(
      t,
      fetchMetadataDocument(clientId, { allowLoopback: true }),
      new RegExp(`responds with status ${status}$`)
    )
  }
  t.equal(hits, 0)
})

t.test('an answer that is refused by its headers is not read on', { timeout: 10_000 }, async t => {
  for (const [status, type] of [[404, 'application/json'], [200, 'text/html']] as const) {
    let closed: Promise<unknown> | undefined
    const { clientId } = await serve(t, (_request, response) => {
      closed = once(response, 'close')
      response.writeHead(status, { 'content-type': type }).write(' ')
    })
    await refused(
      t,
      fetchMetadataDocument(clientId, { allowLoopback: true, timeoutMs: 60_000 }),
      /status 404|content type/
    )
    await closed
  }
})

t.test('no other status than 200 will do', async t => {
  const retried = [408, 425, 429, 500, 502, 503, 504]
  for (const status of [201, 203, 206, 401, 403, 404, 410, 501, 505, ...retried]) {
    const { clientId } = await serve(t, (request, response) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ client_id: `http://${request.headers.host}${request.url}` }))
    })
    const expected = retried.includes(status) ? unreadable : refused
    await expected(
      t,
      fetchMetadataDocument(clientId, { allowLoopback: true }),
      new RegExp(`responds with status ${status}$`)
    )
    const isGone = [404, 410].includes(status)
    if (isGone) {
      await t.rejects(fetchMetadataDocument(clientId, { allowLoopback: true }), {
        code: 'invalid_client',
        reason: 'document_gone'
      })
    }
  }
})

t.test('a body that is too large', async t => {
  const fill = (bytes: number) => answer({}, body => body.padEnd(bytes))
  const exact = await serve(t, fill(5120 * 4))
  await t.resolves(fetchMetadataDocument(exact.clientId, { allowLoopback: true }), 'the limit itself is allowed')
  const over = await serve(t, fill(5120 * 4 + 1))
  await refused(t, fetchMetadataDocument(over.clientId, { allowLoopback: true }), /larger than 20480 bytes/)
  await refused(
    t,
    fetchMetadataDocument(exact.clientId, { allowLoopback: true, maxBytes: 100 }),
    /larger than 100 bytes/
  )

  let closed: Promise<unknown> | undefined
  const endless = await serve(t, (_request, response) => {
    closed = once(response, 'close')
    response.writeHead(200, { 'content-type': 'application/json' }).write(' '.repeat(30_000))
  })
  await refused(
    t,
    fetchMetadataDocument(endless.clientId, { allowLoopback: true, timeoutMs: 60_000 }),
    /larger than 20480 bytes/
  )
  await closed
  t.pass('the connection is closed without waiting for the end')
})

t.test('the time limit', async t => {
  const dripping = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const drip = setInterval(() => response.write(' '), 5)
    response.on('close', () => clearInterval(drip))
  })
  await unreadable(t, fetchMetadataDocument(dripping.clientId, { allowLoopback: true, timeoutMs: 100 }),
    /was not read within 100 ms$/, 'a body that comes slowly, but never pauses')
  const silent = await serve(t, () => {})
  await unreadable(
    t,
    fetchMetadataDocument(silent.clientId, { allowLoopback: true, timeoutMs: 100 }),
    /was not read within 100 ms$/,
    'no response'
  )
  await unreadable(
    t,
    fetchMetadataDocument('https://client.example/a', {
      allowLoopback: true,
      timeoutMs: 100,
      lookup: () => new Promise(() => {})
    }),
    /was not read within 100 ms$/,
    'DNS'
  )
})

t.test('a connection that breaks', async t => {
  const early = await serve(t, request => request.socket.destroy())
  await unreadable(
    t,
    fetchMetadataDocument(early.clientId, { allowLoopback: true }),
    /cannot be read: .*socket hang up/
  )
  const half = await serve(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{}', () => request.socket.destroy())
  })
  await unreadable(t, fetchMetadataDocument(half.clientId, { allowLoopback: true }), /cannot be read: .*aborted/)
  const upgraded = await serve(
    t,
    request => request.socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
  )
  await unreadable(t, fetchMetadataDocument(upgraded.clientId, { allowLoopback: true }), /closed without a response/)
})

t.test('the content type', async t => {
  for (
    const type of [
      'application/json',
      'Application/JSON; charset=utf-8',
      'application/json;charset=utf-8',
      'application/vnd.client+json'
    ]
  ) {
    const { clientId } = await serve(t, answer({ 'content-type': type }))
    await t.resolves(fetchMetadataDocument(clientId, { allowLoopback: true }), type)
  }
  for (
    const type of [
      '',
      'text/html',
      'text/json',
      'text/plain; a=application/json',
      'application/jsonp',
      'application/+json',
      'application/json-seq',
      'xapplication/json'
    ]
  ) {
    const { clientId } = await serve(t, answer({ 'content-type': type }))
    await refused(t, fetchMetadataDocument(clientId, { allowLoopback: true }), /has the content type/, type)
  }
})

t.test('the body', async t => {
  const rows: Array<[what: string, change: (body: string) => string, detail: RegExp]> = [
    ['not JSON', () => '<html>', /cannot be read: SyntaxError/],
    ['empty', () => '', /cannot be read: SyntaxError/],
    ['an array', body => `[${body}]`, /is not a JSON object$/],
    ['null', () => 'null', /is not a JSON object$/],
    ['a string', body => JSON.stringify(body), /is not a JSON object$/],
    ['no client_id', () => '{}', /names another client_id$/],
    ['another client_id', body => body.replace('client.json', 'other.json'), /names another client_id$/],
    ['a client_id that only means the same', body => body.replace('http://', 'HTTP://'), /names another client_id$/],
    ['a client_id that is no string', body => body.replace(/"(http[^"]*)"/, '["$1"]'), /names another client_id$/]
  ]
  for (const [what, change, detail] of rows) {
    const { clientId } = await serve(t, answer({}, change))
    await refused(t, fetchMetadataDocument(clientId, { allowLoopback: true }), detail, what)
  }
  const { clientId } = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.from([0x22, 0xff, 0x22]))
  })
  await refused(t, fetchMetadataDocument(clientId, { allowLoopback: true }), /cannot be read: TypeError/, 'not UTF-8')
})

t.test('Cache-Control', async t => {
  const rows: Array<[cacheControl: string | undefined, maxAgeSeconds: number]> = [
    [undefined, 300],
    ['public', 300],
    ['s-maxage=9', 300],
    ['max-age=60', 60],
    ['Public, Max-Age=60', 60],
    ['max-age="60"', 60],
    ['max-age=0', 0],
    ['max-age=86400', 86_400],
    ['max-age=86401', 86_400],
    [`max-age=${'9'.repeat(400)}`, 86_400],
    ['max-age=-1', 0],
    ['max-age=soon', 0],
    ['max-age', 0],
    ['max-age=60, max-age=30', 30],
    ['no-store', 0],
    ['no-cache, max-age=60', 0],
    ['max-age=60,No-Store', 0],
    ['no-cache="set-cookie", max-age=60', 0]
  ]
  for (const [cacheControl, expected] of rows) {
    const { clientId } = await serve(t, answer(cacheControl === undefined ? {} : { 'cache-control': cacheControl }))
    const { maxAgeSeconds } = await fetchMetadataDocument(clientId, { allowLoopback: true })
    t.equal(maxAgeSeconds, expected, String(cacheControl).slice(0, 60))
  }
})

t.test('the public message is the same for every reason, but for what may be otherwise soon', async t => {
  const { clientId } = await serve(t, answer({}, () => '[]'))
  const messages = new Set<string>()
  for (const attempt of ['nonsense', 'https://10.0.0.1/a', 'http://127.0.0.1:1/a', clientId]) {
    const error: unknown = await fetchMetadataDocument(attempt, { allowLoopback: true }).catch((error: unknown) =>
      error
    )
    t.ok(error instanceof OAuthError && error.detail)
    if (error instanceof OAuthError) messages.add(error.message)
  }
  t.equal(messages.size, 2)
})

t.test('few fetches at once, in all and from one host, and none of a host that cannot be reached', async t => {
  const waiting: Array<() => void> = []
  const asked: string[] = []
  const lookup = async (host: string) => {
    asked.push(host)
    await new Promise<void>(resolve => { waiting.push(resolve) })
    return []
  }
  let now = 1_000_000
  const fetcher = new MetadataDocumentFetcher({ allowLoopback: false, lookup, timeoutMs: 60_000, now: () => now })
  const of = (index: number) =>
    fetcher.fetch(`https://host-${index}.example/${asked.length}`).then(
      () => 'fetched',
      (error: unknown) => error instanceof OAuthError ? error.code : 'bug'
    )
  const busy = { code: 'temporarily_unavailable', retryAfterSeconds: 2 }
  const running = Array.from({ length: 10 }, () => of(0))
  t.equal(asked.length, 4, 'of one host')
  t.strictSame(await Promise.all(running.slice(4)), Array(6).fill('temporarily_unavailable'))
  await t.rejects(fetcher.fetch('https://host-0.example/x'), busy)
  running.push(...Array.from({ length: 100 }, (_, index) => of(index + 1)))
  t.equal(asked.length, 64, 'in all')
  await t.rejects(fetcher.fetch('https://another.example/x'), busy)
  for (const end of waiting.splice(0)) end()
  t.equal((await Promise.all(running)).filter(code => code === 'invalid_client').length, 64)
  await t.rejects(fetcher.fetch('https://host-1.example/y'), { code: 'invalid_client', detail: /no address/ })
  t.equal(asked.length, 64, 'a name that is not there is not asked for again')
  now += 30_001
  const again = fetcher.fetch('https://host-1.example/y')
  t.equal(asked.length, 65, 'but for after half a minute')
  for (const end of waiting.splice(0)) end()
  await t.rejects(again, { code: 'invalid_client' })
})

t.test('a port that takes no connection says nothing of another port of its host', async t => {
  const { port } = await serve(t, answer())
  const closed = createServer()
  const closedPort = await listen(t, closed)
  await new Promise(resolve => closed.close(resolve))
  const fetcher = new MetadataDocumentFetcher({ allowLoopback: true })
  await unreadable(t, fetcher.fetch(`http://127.0.0.1:${closedPort}/a`), /ECONNREFUSED/)
  const reopened = createServer(answer()).listen(closedPort, '127.0.0.1')
  await once(reopened, 'listening')
  t.teardown(() => reopened.close())
  await unreadable(
    t,
    fetcher.fetch(`http://127.0.0.1:${closedPort}/b`),
    /ECONNREFUSED/,
    'it is not tried again at once'
  )
  t.ok(await fetcher.fetch(`http://127.0.0.1:${port}/a`), 'the other is')
})

t.test('names are asked of DNS alone: nothing waits in the pool that files and ciphers need', async t => {
  const pooled: string[] = []
  const hook = createHook({ init: (_id, type) => { if (type === 'GETADDRINFOREQWRAP') pooled.push(type) } }).enable()
  t.teardown(() => { hook.disable() })
  const fetcher = new MetadataDocumentFetcher({ allowLoopback: false, timeoutMs: 10_000 })
  for (const host of ['client.example', 'metadata', 'intranet', 'ip6-localhost']) {
    await t.rejects(fetcher.fetch(`https://${host}/a`))
  }
  t.strictSame(pooled, [])
})
