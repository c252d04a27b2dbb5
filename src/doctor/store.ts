import { Keyring } from '../oauth/keyring.js'
import { compareKeys, currentReplicas } from '../oauth/replica-keys.js'
import { createRedisStores } from '../stores/redis/stores.js'
import type { RedisStoresOptions } from '../stores/options.js'
import type { Findings } from './findings.js'
import { toReason } from './http-probe.js'

/** Where the service keeps things, and the keys that protect them. */
export interface StoreSettings extends Pick<RedisStoresOptions, 'url' | 'cluster' | 'keyPrefix'> {
  encryptionKeys: string | undefined
}

/** Examines the store that replicas share, and whether their keys fit together. */
export async function examineStore (
  { encryptionKeys, ...redis }: StoreSettings,
  findings: Findings
): Promise<void> {
  const stores = createRedisStores({ ...redis, sessionIdleSeconds: 1 })
  try {
    await stores.check()
    findings.ok('store', 'Redis can be reached')
    const replicas = currentReplicas(await stores.replicaKeys.read())
    const { fingerprints } = new Keyring(encryptionKeys)
    for (const { text } of compareKeys([...replicas, { host: 'this environment', fingerprints }])) {
      findings.fail(
        'keys',
        `ENCRYPTION_KEYS are not the same everywhere: ${text}`,
        'Give all replicas the same ENCRYPTION_KEYS. A new key gets an id of its own, and is first added after the ' +
          'old one on every replica.'
      )
    }
    findings.okUnlessFound(
      'keys',
      replicas.length === 0 ? 'no replica is running to compare with' : `${replicas.length} running replicas agree`
    )
  } catch (error) {
    findings.fail(
      'store',
      `Redis cannot be used: ${toReason(error)}`,
      'Check REDIS_URL, and that this machine reaches it. Without it, the service can serve nobody: other findings ' +
        'may be a consequence.'
    )
  } finally {
    await stores.close()
  }
}
