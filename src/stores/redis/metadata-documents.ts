import type { Result } from 'ioredis'
import {
  MAX_METADATA_DOCUMENTS,
  type MetadataDocumentRecord,
  type MetadataDocumentStore
} from '../metadata-documents.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { parseRecord } from '../../parse-record.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpPutDocument(
      all: string,
      document: string,
      documents: string,
      clientId: string,
      json: string,
      endMs: number,
      max: number
    ): Result<number, Context>
  }
}

const scripts = {
  mcpPutDocument: {
    numberOfKeys: 3,
    lua: `
      local time = redis.call('TIME')
      redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000)
      redis.call('SET', KEYS[2], ARGV[2], 'PXAT', ARGV[3])
      redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
      local over = redis.call('ZCARD', KEYS[1]) - ARGV[4]
      if over > 0 then
        local gone = redis.call('ZPOPMIN', KEYS[1], over)
        for index = 1, #gone, 2 do redis.call('DEL', KEYS[3] .. gone[index]) end
      end
      local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
      return last and redis.call('PEXPIREAT', KEYS[1], last) or 0`
  }
}

/** Metadata documents of all replicas, under one hash tag: the set of their ends covers them all. */
export class RedisMetadataDocumentStore implements MetadataDocumentStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker
  readonly #max: number

  constructor (connection: RedisConnection, keys: KeyMaker, maxEntries = MAX_METADATA_DOCUMENTS) {
    this.#connection = connection
    this.#keys = keys
    this.#max = maxEntries
    connection.define(scripts)
  }

  async find (clientId: string): Promise<MetadataDocumentRecord | undefined> {
    const json = await this.#connection.run(redis => redis.get(this.#keys.make('document', clientId)))
    return json === null ? undefined : parseRecord(json)
  }

  async put (record: MetadataDocumentRecord): Promise<void> {
    const { clientId, staleUntil } = record
    const endMs = Math.max(1, Math.ceil(staleUntil * 1000))
    const keys = this.#keys
    await this.#connection.run(redis =>
      redis.mcpPutDocument(
        keys.make('documents'),
        keys.make('document', clientId),
        keys.make('document', ''),
        clientId,
        JSON.stringify(record),
        endMs,
        this.#max
      )
    )
  }

  async remove (clientId: string): Promise<void> {
    await this.#connection.run(redis => redis.del(this.#keys.make('document', clientId)))
  }
}
