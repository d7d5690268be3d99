// Unit disk, unstructured triangles.  gmsh -2 disk.geo -o disk.msh
SetFactory("Built-in");
h = 0.049;
Point(1) = {0, 0, 0, h};
Point(2) = {1, 0, 0, h};
Point(3) = {0, 1, 0, h};
Point(4) = {-1, 0, 0, h};
Point(5) = {0, -1, 0, h};
Circle(1) = {2, 1, 3};
Circle(2) = {3, 1, 4};
Circle(3) = {4, 1, 5};
Circle(4) = {5, 1, 2};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Physical Curve("rim") = {1, 2, 3, 4};
Physical Surface("disk") = {1};
Mesh.Algorithm = 6; // frontal Delaunay
Mesh.MshFileVersion = 4.1;
