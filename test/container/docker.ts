import { setTimeout as delay } from 'node:timers/promises'
import { run } from '../e2e/installed.js'
import { root } from '../support/root.js'

/** What the Dockerfile and compose.yaml call the image. */
export const IMAGE = 'fastify-mcp-oauth'
const OUTPUT_BYTES = 64 * 1024 * 1024
const PATIENCE_MS = 120_000
const ANSWER_MS = 5_000

/** Runs `docker`. @returns what it prints */
export async function docker (...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker', args, { cwd: root, maxBuffer: OUTPUT_BYTES })
  return stdout.trim()
}

/** Runs a program in a container. @returns its exit code, and what it prints */
export async function inside (
  container: string,
  command: readonly string[]
): Promise<{ code: number, output: string }> {
  return await docker('exec', container, ...command).then(output => ({ code: 0, output }), (error: unknown) => {
    if (!(error instanceof Error && 'code' in error && typeof error.code === 'number')) throw error
    return { code: error.code, output: error.message }
  })
}

/** Waits until something holds. */
export async function until (what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`)
    await delay(100)
  }
}

/** Whether a URL answers with that status. */
export async function answers (url: string, status = 200): Promise<boolean> {
  // one that hangs must not outlast what `until` allows
  const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined)
  await response?.body?.cancel()
  return response?.status === status
}
