"""Descriptors whose numbers come from a compiled calculator: all hooks from that one object."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from atomprint.descriptors.engine.call import Array, Call, Derivatives, Rows
from atomprint.descriptors.engine.contract import Descriptor
from atomprint.descriptors.engine.local import LocalDescriptor
from atomprint.descriptors.engine.pairs import PairBlock, compiled_pairs


class Compiled(Descriptor):
    """A descriptor with a calculator that ``cpp/bind/local.hpp`` binds."""

    _writes_sparse = True
    _spreads_nan = True

    @abstractmethod
    def _calculator(self) -> Any:
        """Return the compiled calculator for the parameters, from a cache if they have been used before."""

    def _compute(self, call: Call, out: Rows) -> None:
        self._kept(call).compute(*call.core(), out, call.n_threads)

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        self._kept(call).vjp(*call.core(), call.attach, cotangents, *out, call.n_threads)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        rows = call.attach, call.selection.slots, call.selection.row_offsets
        self._kept(call).jacobian(*call.core(), *rows, *out, call.n_threads)

    def _kept(self, call: Call) -> Any:
        """Return the calculator for the parameters that the call was prepared with."""
        return call.prepared.memo.once("calculator", self._calculator)


class CompiledDescriptor(Compiled, LocalDescriptor, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # scikit-learn's
    """A local descriptor with such a calculator, which ``cpp/local/local.hpp`` describes."""

    def _pairs(self, call: Call) -> Sequence[PairBlock]:
        return compiled_pairs(self._kept(call), call, call.prepared.species)
