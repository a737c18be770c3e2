// jsdom has neither; both are only scheduled with here.
globalThis.requestAnimationFrame ??= callback => setTimeout(callback, 0) as never;
globalThis.cancelAnimationFrame ??= id => clearTimeout(id);

// Lumino looks at this when it is imported.
globalThis.DragEvent ??= class extends Event {} as never;
