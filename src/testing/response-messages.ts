/** The JSON-RPC messages of a response: one of JSON, or those of an event stream as they come. */
export async function * messagesOf (response: Response): AsyncGenerator<unknown> {
  if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) {
    yield await response.json()
    return
  }
  const decoder = new TextDecoder()
  let text = ''
  const chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array> = response.body ?? []
  for await (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = text.slice(0, end).split('\n').filter(line => line.startsWith('data:')).map(line =>
        line.slice(5).trimStart()
      ).join('\n')
      text = text.slice(end + 2)
      if (data !== '') yield JSON.parse(data)
    }
  }
}
