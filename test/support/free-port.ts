import { once } from 'node:events'
import { createServer } from 'node:net'

// below the ports that systems give to connections, and to those who ask for any: none of those is taken from a test;
// above 10080, the last one that `fetch` refuses
const FIRST = 10_100
const PORTS_OF_PROCESS = 110
const PROCESSES = 200

let next = 0

/** A port that nobody listens on, nor will before the caller does: processes take theirs from different ranges. */
export async function freePort (): Promise<number> {
  for (let tried = 0; tried < PORTS_OF_PROCESS; tried++) {
    const port = FIRST + process.pid % PROCESSES * PORTS_OF_PROCESS + next++ % PORTS_OF_PROCESS
    if (await isFree(port)) return port
  }
  throw new Error('There is no free port.')
}

async function isFree (port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
