// Transposes in registers, of every side.
#include "engine/pack/transpose.hpp"

#include "check.hpp"

namespace gramless {
inline namespace GRAMLESS_ISA {
namespace {

template <class T, int Side>
bool transposes() {
  Vector<T, Side> rows[Side];
  for (int i = 0; i < Side; i++)
    for (int j = 0; j < Side; j++) rows[i][j] = static_cast<T>(100 * i + j);
  transpose<Side / 2>(rows);
  for (int i = 0; i < Side; i++)
    for (int j = 0; j < Side; j++)
      if (rows[i][j] != static_cast<T>(100 * j + i)) return false;
  return true;
}

TEST(square_blocks_transpose) {
  CHECK(transposes<float, 2>() && transposes<float, 4>() && transposes<float, 8>() && transposes<float, 16>());
  CHECK(transposes<double, 2>() && transposes<double, 4>() && transposes<double, 8>());
}

}  // namespace
}  // namespace GRAMLESS_ISA
}  // namespace gramless
