"""Short ways to write an array: `grid(5, 5)` stands for the 3,125 numbers of walking in a grid.

expand(value, axes, place)      the array
CONSTRUCTORS                    what there is: signature, meaning, where it may stand, an example
"""

from llmport_magic.gmn.arrays.constructors import matrices, moves, vectors
from llmport_magic.gmn.arrays.constructors.axes import Axis, PartError, Place
from llmport_magic.gmn.arrays.constructors.registry import CONSTRUCTORS, Constructor, expand

__all__ = ["CONSTRUCTORS", "Axis", "Constructor", "PartError", "Place", "expand"]

# Loading them enters what they make.
del matrices, moves, vectors
