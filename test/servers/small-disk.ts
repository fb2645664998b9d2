/** A file system that is soon full. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** A file system of 24 MiB at a folder; undefined where this user may not mount one. */
export function mountSmall(folder: string): (() => void) | undefined {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0700', 'tmpfs', folder], { stdio: 'ignore' })
    return () => execFileSync('umount', [folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
}

/** Why there can be none, or undefined. */
export function missingSmallDisk(): string | undefined {
  const folder = path.join(tmpdir(), `writ-mount-${process.pid}`)
  const unmount = mountSmall(folder)
  unmount?.()
  rmSync(folder, { recursive: true, force: true })
  return unmount ? undefined : 'this user may not mount a small file system'
}

/** Fills the file system to its last byte. */
export function fill(file: string): void {
  const handle = openSync(file, 'w')
  try {
    for (let size = 1024 * 1024; size >= 1; ) {
      try {
        if (writeSync(handle, Buffer.alloc(size)) < size) size = Math.floor(size / 2)
      } catch {
        size = Math.floor(size / 2)
      }
    }
  } finally {
    closeSync(handle)
  }
}

/** From now on nothing can be written there, not by root either. */
export function makeReadOnly(folder: string): void {
  execFileSync('mount', ['-o', 'remount,ro', folder], { stdio: 'ignore' })
}
