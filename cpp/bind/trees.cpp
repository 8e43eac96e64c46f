#include "bind/arrays.hpp"

#include "learn/replay.hpp"
#include "learn/trees.hpp"

namespace atomprint::bind {

namespace {

using Flags = In<std::uint8_t, nb::ndim<1>>;

nb::tuple shape_of(const Flags& is_leaf) {
    TreeShape shape = tree_shape(is_leaf.data(), is_leaf.shape(0));
    const std::size_t n = shape.left.size();
    return nb::make_tuple(to_numpy(std::move(shape.left), {n}), to_numpy(std::move(shape.right), {n}), shape.depth);
}

void sum_up(const Flags& is_leaf, int kind, const Out<std::int64_t, nb::ndim<1>>& n,
            const Out<double, nb::ndim<1>>& weight, const Out<double, nb::ndim<3>>& value,
            const Out<double, nb::ndim<1>>& impurity) {
    const std::size_t nodes = is_leaf.shape(0);
    require(n.shape(0) == nodes && weight.shape(0) == nodes && value.shape(0) == nodes && impurity.shape(0) == nodes,
            "there must be one number for each node");
    require(kind >= 0 && kind <= 2, "kind must be 0, 1 or 2");
    const nb::gil_scoped_release release;
    sum_up_tree(tree_shape(is_leaf.data(), nodes), value.shape(1), value.shape(2), static_cast<Impurity>(kind),
                n.data(), weight.data(), value.data(), impurity.data());
}

nb::tuple grow(const Flags& is_leaf, const Integers& feature, const In<float, nb::ndim<1>>& threshold,
               const In<float, nb::ndim<2>>& rows, const In<float, nb::ndim<2>>& columns,
               const In<double, nb::ndim<1>>& y, const In<std::int32_t, nb::ndim<1>>& ranks, std::uint64_t seed,
               std::uint32_t chance) {
    const std::size_t nodes = is_leaf.shape(0), n = rows.shape(0);
    require(feature.shape(0) == nodes && threshold.shape(0) == nodes, "there must be one number for each node");
    require(columns.shape(0) == rows.shape(1) && columns.shape(1) == n, "columns must be rows turned round");
    require(y.shape(0) == n && ranks.shape(0) == n, "there must be one target for each sample");
    GrownTree tree;
    {
        const nb::gil_scoped_release release;
        const TreeShape shape = tree_shape(is_leaf.data(), nodes);
        tree = grow_twigs({shape.left.data(), shape.right.data(), feature.data(), threshold.data(), nodes},
                          {rows.data(), columns.data(), y.data(), ranks.data(), n, rows.shape(1)}, seed, chance);
    }
    const std::size_t grown = tree.is_leaf.size();
    return nb::make_tuple(to_numpy(std::move(tree.is_leaf), {grown}), to_numpy(std::move(tree.feature), {grown}),
                          to_numpy(std::move(tree.threshold), {grown}), to_numpy(std::move(tree.n), {grown}),
                          to_numpy(std::move(tree.value), {grown}), to_numpy(std::move(tree.impurity), {grown}));
}

nb::tuple replay(const Flags& is_leaf, const Integers& feature, const Integers& n_left,
                 const In<float, nb::ndim<2>>& columns, const In<double, nb::ndim<1>>& y,
                 const In<std::int32_t, nb::ndim<1>>& counts, std::size_t n_classes) {
    const std::size_t nodes = is_leaf.shape(0), n = columns.shape(1);
    require(feature.shape(0) == nodes && n_left.shape(0) == nodes, "there must be one number for each node");
    require(y.shape(0) == n && counts.shape(0) == n, "there must be one target for each sample");
    require(n_classes >= 1, "n_classes must be at least 1");
    for (std::size_t i = 0; n_classes > 1 && i < n; ++i)
        require(y.data()[i] >= 0 && y.data()[i] < static_cast<double>(n_classes), "y must be numbers of classes");
    ReplayedTree tree;
    {
        const nb::gil_scoped_release release;
        tree = replay_tree(tree_shape(is_leaf.data(), nodes), feature.data(), n_left.data(),
                           {columns.data(), y.data(), counts.data(), n, columns.shape(0), n_classes});
    }
    return nb::make_tuple(to_numpy(std::move(tree.threshold), {nodes}), to_numpy(std::move(tree.n), {nodes}),
                          to_numpy(std::move(tree.weight), {nodes}),
                          to_numpy(std::move(tree.value), {nodes, n_classes}));
}

const Family trees("trees", [](nb::module_& m) {
    m.def("tree_shape", &shape_of, nb::arg("is_leaf"), "Children of the nodes of a tree in preorder, and its depth.",
          nb::sig("def tree_shape(is_leaf: NDArray) -> tuple[NDArray, NDArray, int]"));
    m.def("sum_up_tree", &sum_up, nb::arg("is_leaf"), nb::arg("kind"), nb::arg("n"), nb::arg("weight"),
          nb::arg("value"), nb::arg("impurity"), "Fill in what inner nodes are of their children.");
    m.def("grow_twigs", &grow, nb::arg("is_leaf"), nb::arg("feature"), nb::arg("threshold"), nb::arg("rows"),
          nb::arg("columns"), nb::arg("y"), nb::arg("ranks"), nb::arg("seed"), nb::arg("chance"),
          "A tree whose leaves of few samples are grown to the end.");
    m.def(
        "replay_tree", &replay, nb::arg("is_leaf"), nb::arg("feature"), nb::arg("n_left"), nb::arg("columns"),
        nb::arg("y"), nb::arg("counts"), nb::arg("n_classes"),
        "Thresholds, numbers of samples, and weights and values of leaves, from the samples that a tree was grown on.");
});

} // namespace

} // namespace atomprint::bind
