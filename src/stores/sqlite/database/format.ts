import { ANONYMOUS_ID, ANONYMOUS_PERSON } from '../../../caller.js'

interface Counted {
  table: string
  /** What names the group that a row counts for. Only rows whose group is not null count. */
  group: string
  bytes?: string
}

/**
 * Keeps the number and the bytes of a table's rows, by group and in all: to count them would take longer the more there
 * are.
 */
function counting ({ table, group, bytes = '0' }: Counted): string {
  const of = (row: 'OLD' | 'NEW', text: string) => text.replaceAll(/\$(\w+)/g, `${row}.$1`)
  const change = (row: 'OLD' | 'NEW', sign: 1 | -1) => {
    const [key, size] = [of(row, group), `${sign} * ${of(row, bytes)}`]
    const add = (table: string, keys: string, values: string) => `
      INSERT INTO ${table} (${keys}, entries, bytes) SELECT ${values}, ${sign}, ${size} WHERE ${key} IS NOT NULL
        ON CONFLICT DO UPDATE SET entries = entries + excluded.entries, bytes = bytes + excluded.bytes;`
    return add('counts', 'counted, in_group', `'${table}', ${key}`) + add('totals', 'counted', `'${table}'`) +
      (sign === 1
        ? ''
        : `
      DELETE FROM counts WHERE counted = '${table}' AND in_group = ${key} AND entries = 0;`)
  }
  return `
    CREATE TRIGGER ${table}_added AFTER INSERT ON ${table} BEGIN ${change('NEW', 1)}
    END;
    CREATE TRIGGER ${table}_removed AFTER DELETE ON ${table} BEGIN ${change('OLD', -1)}
    END;
    CREATE TRIGGER ${table}_changed AFTER UPDATE ON ${table}
      WHEN ${of('OLD', group)} IS NOT ${of('NEW', group)} OR ${of('OLD', bytes)} IS NOT ${of('NEW', bytes)}
    BEGIN ${change('OLD', -1)}${change('NEW', 1)}
    END;`
}

/**
 * Version 1. Times are milliseconds since the epoch; records are JSON. The rowid is the order in which rows were added,
 * the highest the newest.
 */
export const FIRST_FORMAT = `
  CREATE TABLE service (id INTEGER PRIMARY KEY CHECK (id = 1), checked_at INTEGER) STRICT;
  INSERT INTO service (id) VALUES (1);

  CREATE TABLE counts (
    counted TEXT NOT NULL, in_group TEXT NOT NULL, entries INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (counted, in_group)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX largest_groups ON counts (counted, entries);
  CREATE TABLE totals (
    counted TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  ${['clients', 'upstream_clients'].map(table => `
  CREATE TABLE ${table} (
    client_id TEXT PRIMARY KEY, address TEXT NOT NULL, is_used INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL,
    ends_at INTEGER NOT NULL, record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX ${table}_ends ON ${table} (ends_at);
  CREATE INDEX ${table}_unused ON ${table} (address) WHERE is_used = 0;
  CREATE INDEX ${table}_oldest ON ${table} (is_used);
  ${counting({ table, group: "iif($is_used, '', 'of ' || $address)", bytes: '$bytes' })}`).join('')}

  CREATE TABLE upstream_deletions (
    sealed TEXT PRIMARY KEY, client_id TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX upstream_deletions_due ON upstream_deletions (due_at);
  ${counting({ table: 'upstream_deletions', group: "''" })}

  CREATE TABLE authorizations (
    id TEXT PRIMARY KEY, address TEXT NOT NULL, bytes INTEGER NOT NULL, ends_at INTEGER NOT NULL, record TEXT
  ) STRICT;
  CREATE INDEX authorizations_ends ON authorizations (ends_at);
  ${counting({ table: 'authorizations', group: '$address', bytes: '$bytes' })}

  ${['metadata_documents', 'consents', 'used_calls', 'lasting_leases', 'codes'].map(table => `
  CREATE TABLE ${table} (key TEXT PRIMARY KEY, ends_at INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
  CREATE INDEX ${table}_ends ON ${table} (ends_at);
  ${counting({ table, group: "''" })}`).join('')}

  CREATE TABLE grants (
    grant_id TEXT PRIMARY KEY, person TEXT NOT NULL, ends_at INTEGER NOT NULL, rechecks INTEGER NOT NULL,
    record TEXT NOT NULL, sealed_upstream_tokens TEXT NOT NULL, upstream_version INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX grants_of_person ON grants (person, ends_at);
  CREATE INDEX grants_ends ON grants (ends_at);
  ${counting({ table: 'grants', group: "''" })}
  CREATE TABLE access_tokens (
    hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants ON DELETE CASCADE, ends_at INTEGER NOT NULL,
    record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX access_tokens_of_grant ON access_tokens (grant_id);
  CREATE INDEX access_tokens_ends ON access_tokens (ends_at);
  CREATE TABLE refresh_tokens (
    hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants ON DELETE CASCADE, ends_at INTEGER NOT NULL,
    record TEXT NOT NULL, rotated_at INTEGER, sealed_response TEXT
  ) STRICT;
  CREATE INDEX refresh_tokens_of_grant ON refresh_tokens (grant_id);
  CREATE INDEX refresh_tokens_ends ON refresh_tokens (ends_at);

  ${['login_steps', 'login_visits'].map(table => `
  CREATE TABLE ${table} (number INTEGER PRIMARY KEY, ends_at INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
  CREATE INDEX ${table}_ends ON ${table} (ends_at);
  ${counting({ table, group: "''" })}`).join('')}

  CREATE TABLE sessions (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, person TEXT NOT NULL, owner TEXT NOT NULL, seen INTEGER NOT NULL,
    last_seen_at REAL NOT NULL, ends_at INTEGER NOT NULL, version INTEGER, record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX sessions_of_person ON sessions (person, seen);
  CREATE INDEX sessions_of_owner ON sessions (owner, seen);
  CREATE INDEX sessions_ends ON sessions (ends_at);
  ${counting({ table: 'sessions', group: '$person' })}

  CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, holder TEXT NOT NULL, id TEXT NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
    ends_at INTEGER NOT NULL, record TEXT NOT NULL, result TEXT, UNIQUE (holder, id)
  ) STRICT;
  CREATE INDEX tasks_ends ON tasks (ends_at);
  ${counting({ table: 'tasks', group: '$holder', bytes: '$bytes' })}
  CREATE TABLE task_messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, task INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    message TEXT NOT NULL
  ) STRICT;
  CREATE INDEX messages_of_task ON task_messages (task);
`

/** Keeps the number and the bytes of those rows of a table that are of callers who have not logged in. */
function countingAnonymous (table: string, column: string, prefix: string, bytes = '0'): string {
  const isAnonymous = (row: string) => `substr(${row}${column}, 1, ${prefix.length}) = '${prefix}'`
  const of = (row: 'OLD' | 'NEW') => bytes === '0' ? bytes : `${row}.${bytes}`
  const add = (entries: number, size: string) => `
      UPDATE totals SET entries = entries + ${entries}, bytes = bytes + ${size} WHERE counted = 'anonymous ${table}';
    END;`
  return `
    INSERT INTO totals (counted, entries, bytes)
      SELECT 'anonymous ${table}', count(*), coalesce(sum(${bytes}), 0) FROM ${table} WHERE ${isAnonymous('')};
    CREATE TRIGGER anonymous_${table}_added AFTER INSERT ON ${table} WHEN ${isAnonymous('NEW.')} BEGIN ${
    add(1, of('NEW'))}
    CREATE TRIGGER anonymous_${table}_removed AFTER DELETE ON ${table} WHEN ${isAnonymous('OLD.')} BEGIN ${
    add(-1, `-${of('OLD')}`)}
    CREATE TRIGGER anonymous_${table}_changed AFTER UPDATE ON ${table}
      WHEN ${isAnonymous('NEW.')} AND ${of('OLD')} <> ${of('NEW')} BEGIN ${add(0, `${of('NEW')} - ${of('OLD')}`)}`
}

/** Version 2: what callers who have not logged in have is counted, and their calls are kept apart. */
export const SECOND_FORMAT = `
  ${countingAnonymous('sessions', 'person', ANONYMOUS_PERSON)}
  ${countingAnonymous('tasks', 'holder', ANONYMOUS_ID, 'bytes')}
  CREATE TABLE anonymous_used_calls (key TEXT PRIMARY KEY, ends_at INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
  CREATE INDEX anonymous_used_calls_ends ON anonymous_used_calls (ends_at);
  ${counting({ table: 'anonymous_used_calls', group: "''" })}
`
