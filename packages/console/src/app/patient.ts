import { isServed } from './client.ts'

const AGAIN_MS = 2_000

/**
 * Loads a piece of the console, and waits for the server while it is away: what is shown stays, and the page comes when it can. A server
 * that answers and has no such piece any more is another version: that is thrown, and the router loads the whole page anew.
 */
export async function patient<T>(load: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await load()
    } catch (error) {
      if (await isServed()) throw error
      await new Promise((later) => setTimeout(later, AGAIN_MS))
    }
  }
}
