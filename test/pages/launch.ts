import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'

export const CHROMIUM_MISSING = 'Chromium is not on PATH. Install it: apt-get install -y --no-install-recommends chromium'

// nothing but this machine is there: pages that load a font from elsewhere do not wait for it
const ARGUMENTS = ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1']

/** Starts headless Chromium; whoever starts it closes it. */
export async function launchChromium (executablePath = findChromium()): Promise<Browser> {
  if (executablePath === undefined) throw new Error(CHROMIUM_MISSING)
  return await chromium.launch({ executablePath, args: ARGUMENTS })
}

/** Chromium, if it is on PATH. */
export function findChromium (): string | undefined {
  return (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'chromium')).find(isExecutable)
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
