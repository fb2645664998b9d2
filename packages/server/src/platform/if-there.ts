/**
 * What was asked of a file or folder, or `otherwise` if there is none. Whatever else keeps it from being read is thrown: what may not be
 * read is not empty, and who took it for that would miss it in a backup or call it changed.
 */
export async function ifThere<T, U>(asked: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return otherwise
    throw error
  }
}
