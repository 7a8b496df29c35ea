from setuptools import setup
setup(packages=["backhand","backhand.layers","backhand.models","backhand.kernels"], package_dir={"backhand": "core", "backhand.kernels": "kernels"})
