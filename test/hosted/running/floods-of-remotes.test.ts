import t from 'tap'
import { checkFloods, remote } from './floods.js'

/*
 * A remote server that sends more than its client reads.
 */
checkFloods(t, 'a remote by Streamable HTTP', remote)
checkFloods(t, 'a remote by HTTP+SSE', async (t, blocked) => await remote(t, blocked, { transport: 'sse' }))
