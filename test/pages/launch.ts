import { chromium, type Browser } from 'playwright-core'
import { find, lacking } from '../support/programs.js'

// nothing but this machine is there: pages that load a font from elsewhere do not wait for it
const ARGUMENTS = ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1']

/** Starts headless Chromium; whoever starts it closes it. */
export async function launchChromium (executablePath = find('chromium')): Promise<Browser> {
  if (executablePath === undefined) throw new Error(lacking('chromium'))
  return await chromium.launch({ executablePath, args: ARGUMENTS })
}
