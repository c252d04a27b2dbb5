import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const MB = 1024 * 1024

/** A small file system of its own. */
export interface SmallDisk {
  /** Where it is mounted. */
  path: string
  /** Gives it another size. */
  resize (mb: number): void
  /** Makes it read-only, also while files are open. */
  stopWrites (): void
  allowWrites (): void
  remove (): void
}

const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })

/** @throws {Error} if this process may not mount: it has to be that of root, with CAP_SYS_ADMIN */
export function mountTmpfs (mb: number): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), 'disk-'))
  mount(path, '-t', 'tmpfs', '-o', `size=${mb}m`, 'tmpfs')
  return {
    path,
    resize: mb => { run('mount', '-o', `remount,size=${mb}m`, path) },
    stopWrites: () => { run('mount', '-o', 'remount,ro', path) },
    allowWrites: () => { run('mount', '-o', 'remount,rw', path) },
    remove: () => { unmount(path) }
  }
}

/** As ext4, in a file: the kernel makes it read-only after an error, whoever writes. */
export function mountExt4 (mb: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'disk-'))
  const [image, path] = [join(folder, 'image'), join(folder, 'mounted')]
  writeFileSync(image, Buffer.alloc(mb * MB))
  mkdirSync(path)
  run('mkfs.ext4', '-q', image)
  const mountImage = () => { mount(path, '-o', 'loop,errors=remount-ro', image) }
  mountImage()
  const device = basename(String(run('findmnt', '-n', '-o', 'SOURCE', path)).trim())
  const trigger = `/sys/fs/ext4/${device}/trigger_fs_error`
  if (!existsSync(trigger)) throw new Error(`This kernel has no ${trigger}.`)
  return {
    path,
    resize: () => { throw new Error('It has one size.') },
    stopWrites: () => { writeFileSync(trigger, 'by the test') },
    allowWrites: () => {
      // what was not written yet is lost, as by a power cut
      run('umount', path)
      spawnSync('fsck.ext4', ['-fy', image])
      mountImage()
    },
    remove: () => {
      unmount(path)
      rmSync(folder, { recursive: true })
    }
  }
}

function mount (path: string, ...args: string[]): void {
  try {
    run('mount', ...args, path)
  } catch (cause) {
    throw new Error(`Mounting is not allowed here: run it as root, with CAP_SYS_ADMIN. (${String(cause)})`, { cause })
  }
}

function unmount (path: string): void {
  // whoever still has a file of it open
  run('umount', '--lazy', path)
  rmSync(path, { recursive: true })
}
